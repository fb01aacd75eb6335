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

// A dict that Python knows as the TypedDict of this name in ionmorphnet.base.native_types.
template <TypeName Name>
class TypedDict : public pybind11::dict {
 public:
  using dict::dict;
};

using Floats = pybind11::array_t<float>;
using Doubles = pybind11::array_t<double>;
using Flags = pybind11::array_t<bool>;

// Of a streaming loop: seconds, counts, bytes, and whether the file stayed on the device.
using LoopTimings =
    pybind11::typing::Dict<pybind11::str, pybind11::typing::Union<pybind11::float_, pybind11::int_, pybind11::bool_>>;

// outputs (n, k), blank (n,), timings.
using LoopResult = pybind11::typing::Tuple<Floats, Flags, LoopTimings>;

// progress(done, total).
using Progress = std::optional<pybind11::typing::Callable<void(std::int64_t, std::int64_t)>>;

}  // namespace imn::bindings

template <imn::bindings::TypeName Name>
struct pybind11::detail::handle_type_name<imn::bindings::TypedDict<Name>> {
  static constexpr auto name = const_name("ionmorphnet.base.native_types.") + const_name(Name.text);
};
