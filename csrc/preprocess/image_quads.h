// Images as a thread block reads them: 16 bytes at a time, regardless of the image's alignment. See core/cuda/block.h.
#pragma once

#include <cstdint>
#include <limits>

#include "core/cuda/pack.h"
#include "core/host_device.h"

namespace imn::preprocess {

inline constexpr float kNotMeasured = std::numeric_limits<float>::quiet_NaN();

struct alignas(16) Quad {
  float x[4];
};

// An image in global memory. Its pixels are grouped into quads at addresses that are multiples of 16, so the first and
// the last quad may extend beyond the image. Values there are NaN, as are unmeasured pixels.
class GlobalImage {
 public:
  IMN_HOST_DEVICE GlobalImage(const float* pixels, const std::uint8_t* mask, int n)
      : pixels_(pixels),
        mask_(mask),
        n_(n),
        shift_(static_cast<int>(reinterpret_cast<std::uintptr_t>(pixels) / 4 % 4)) {}

  IMN_HOST_DEVICE int size() const { return n_; }
  // Number of values of the first quad that lie before the image.
  IMN_HOST_DEVICE int shift() const { return shift_; }
  IMN_HOST_DEVICE int quads() const { return (n_ + shift_ + 3) / 4; }

  IMN_HOST_DEVICE float at(int i) const { return mask_ == nullptr || mask_[i] != 0 ? pixels_[i] : kNotMeasured; }

  // Returns pixels 4 * q to 4 * q + 3 of the image, whatever its alignment; NaN beyond its end.
  IMN_HOST_DEVICE Quad four(int q) const {
    if (shift_ == 0 && mask_ == nullptr && 4 * q + 4 <= n_) return whole(q);
    Quad quad;
    for (int k = 0; k < 4; ++k) quad.x[k] = 4 * q + k < n_ ? at(4 * q + k) : kNotMeasured;
    return quad;
  }

  // Calls f(quad) for all quads with block.for_each().
  template <typename Block, typename F>
  IMN_DEVICE_CODE void for_each_quad(Block& block, F&& f) const {
    const int begin = shift_ > 0 ? 1 : 0;
    const int end = (n_ + shift_) / 4;
    block.for_each(quads(), [&](int q) { f(q >= begin && q < end ? masked(q, whole(q)) : partial(q)); });
  }

  // Reduces item(q, quad) over all quads with block.reduce(). Several loads are in flight before the first value is
  // used.
  template <typename Block, typename T, typename Item, typename Op>
  IMN_DEVICE_CODE T reduce_quads(Block& block, T identity, Item&& item, Op&& op, T* scratch) const {
    constexpr int kAhead = 4;
    const int begin = shift_ > 0 ? 1 : 0;  // whole quads: [begin, end)
    const int end = cuda::greater(begin, (n_ + shift_) / 4);
    const int part = (end - begin + kAhead - 1) / kAhead;
    const auto some = [&](int i) {
      T value = identity;
      if (i == part) {  // the partial quads at both ends
        if (begin > 0) value = op(value, item(0, partial(0)));
        if (end < quads()) value = op(value, item(end, partial(end)));
        return value;
      }
      Quad ahead[kAhead];
      for (int k = 0; k < kAhead; ++k) ahead[k] = whole(cuda::lesser(begin + i + k * part, end - 1));
      for (int k = 0; k < kAhead; ++k) {
        const int q = begin + i + k * part;
        if (q < end) value = op(value, item(q, masked(q, ahead[k])));
      }
      return value;
    };
    return block.reduce(part + 1, identity, some, op, scratch);
  }

 private:
  IMN_HOST_DEVICE Quad whole(int q) const { return *reinterpret_cast<const Quad*>(pixels_ + (4 * q - shift_)); }

  IMN_HOST_DEVICE Quad masked(int q, Quad quad) const {
    if (mask_ == nullptr) return quad;
    const std::uint8_t* mask = mask_ + (4 * q - shift_);
    for (int k = 0; k < 4; ++k) {
      if (mask[k] == 0) quad.x[k] = kNotMeasured;
    }
    return quad;
  }

  IMN_HOST_DEVICE Quad partial(int q) const {
    Quad quad;
    for (int k = 0; k < 4; ++k) {
      const int i = 4 * q + k - shift_;
      quad.x[k] = i >= 0 && i < n_ ? at(i) : kNotMeasured;
    }
    return quad;
  }

  const float* pixels_;
  const std::uint8_t* mask_;  // may be null
  int n_;
  int shift_;
};

// The same image, copied to shared memory.
class SharedImage {
 public:
  IMN_HOST_DEVICE SharedImage(Quad* quads, const GlobalImage& from)
      : quads_(quads),
        n_quads_(from.quads()),
        n_(from.size()),
        shift_(from.shift()),
        pixels_(quads->x + from.shift()) {}

  IMN_HOST_DEVICE float at(int i) const { return pixels_[i]; }
  // Like GlobalImage::four(); put_four() writes the pixels.
  IMN_HOST_DEVICE Quad four(int q) const {
    if (shift_ == 0) return quads_[q];
    Quad quad;
    for (int k = 0; k < 4; ++k) quad.x[k] = 4 * q + k < n_ ? at(4 * q + k) : kNotMeasured;
    return quad;
  }
  IMN_HOST_DEVICE void put_four(int q, const Quad& quad) const {
    if (shift_ == 0) {
      quads_[q] = quad;
      return;
    }
    for (int k = 0; k < 4; ++k) {
      if (4 * q + k < n_) pixels_[4 * q + k] = quad.x[k];
    }
  }
  IMN_HOST_DEVICE void put_quad(int q, const Quad& quad) const { quads_[q] = quad; }

  template <typename Block, typename F>
  IMN_DEVICE_CODE void for_each_quad(Block& block, F&& f) const {
    block.for_each(n_quads_, [&](int q) { f(quads_[q]); });
  }
  template <typename Block, typename T, typename Item, typename Op>
  IMN_DEVICE_CODE T reduce_quads(Block& block, T identity, Item&& item, Op&& op, T* scratch) const {
    return block.reduce(n_quads_, identity, [&](int q) { return item(q, quads_[q]); }, op, scratch);
  }

 private:
  Quad* quads_;
  int n_quads_;
  int n_;
  int shift_;
  float* pixels_;
};

}  // namespace imn::preprocess
