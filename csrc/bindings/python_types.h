// Types that the Python stubs name. Changing one changes python/ionmorphnet/_core.pyi: run `make stubs`.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace imn::bindings {

template <std::size_t N>
struct TypeName {
  char text[N];
  constexpr TypeName(const char (&from)[N]) { std::copy_n(from, N, text); }
};

// A dict that the stubs declare as the TypedDict of this name in ionmorphnet.base.native_types.
template <TypeName Name>
class TypedDict : public pybind11::dict {
 public:
  using dict::dict;
};

using ModeName = pybind11::typing::Literal<"continuous", "processed">;
using SpectrumTypeName = pybind11::typing::Literal<"profile", "centroid">;
using DuplicatesName = pybind11::typing::Literal<"first", "sum", "error">;

// Converts a name to a Literal. pybind11's own conversion would check nothing and leak.
template <typename Name>
Name name_of(const char* text) {
  return pybind11::reinterpret_borrow<Name>(pybind11::str(text));
}

using Floats = pybind11::array_t<float>;
using Doubles = pybind11::array_t<double>;
using Flags = pybind11::array_t<bool>;

// Timings of a streaming loop: seconds, counts, bytes, and whether the file stayed on the device.
using LoopTimings =
    pybind11::typing::Dict<pybind11::str, pybind11::typing::Union<pybind11::float_, pybind11::int_, pybind11::bool_>>;

// outputs (n, k), blank (n,), timings.
using LoopResult = pybind11::typing::Tuple<Floats, Flags, LoopTimings>;

// An object that implements the protocol ionmorphnet.scoring.device_network.DeviceNetwork.
class DeviceNetwork : public pybind11::object {
 public:
  using object::object;
  explicit DeviceNetwork(const pybind11::object& network) : object(network) {}
  static bool check_(pybind11::handle network) { return network.ptr() != nullptr; }
};

// progress(done, total).
using Progress = std::optional<pybind11::typing::Callable<void(std::int64_t, std::int64_t)>>;

}  // namespace imn::bindings

template <>
struct pybind11::detail::handle_type_name<imn::bindings::DeviceNetwork> {
  static constexpr auto name = const_name("ionmorphnet.scoring.device_network.DeviceNetwork");
};

template <imn::bindings::TypeName Name>
struct pybind11::detail::handle_type_name<imn::bindings::TypedDict<Name>> {
  static constexpr auto name = const_name("ionmorphnet.base.native_types.") + const_name(Name.text);
};
