#include "io/spectrum_template.h"

namespace imn::io {

namespace {

// Inlined memcmp: most texts are a few dozen bytes long, and nearly all are equal.
bool same_text(const char* a, const char* b, std::size_t n) {
#if defined(__SSE2__) || defined(_M_X64)
  if (n >= 16) {
    auto differs = [&](std::size_t at) {
      const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + at));
      const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + at));
      return _mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) != 0xFFFF;
    };
    for (std::size_t at = 0; at + 16 < n; at += 16) {
      if (differs(at)) return false;
    }
    return !differs(n - 16);
  }
#endif
  return std::memcmp(a, b, n) == 0;
}

}  // namespace

void SpectrumTemplate::start(Element element, const Attributes& attributes, bool used) {
  if (!used) return;
  const auto index = static_cast<std::uint32_t>(tags_.size());
  tags_.push_back(attributes);
  for (std::size_t k = tag_; k < ops_.size(); ++k) {
    if (ops_[k].kind == Op::Kind::value && ops_[k].attribute != Attribute::other) ops_[k].target = index;
  }
  Op op{Op::Kind::start};
  op.element = element;
  op.target = index;
  ops_.push_back(op);
}

const char* SpectrumTemplate::replay(const char* p, const char* end, HeaderBuilder& builder) {
  for (const Op& op : ops_) {
    switch (op.kind) {
      case Op::Kind::match:
        if (static_cast<std::size_t>(end - p) < op.length || !same_text(p, op.text, op.length)) return nullptr;
        p += op.length;
        break;
      case Op::Kind::value: {
        const char* value = p;
        p = find_byte(p, end, op.quote, '<', '&');
        if (p == end || *p != op.quote) return nullptr;
        if (op.target != kNone) {
          tags_[op.target].replace(op.attribute, {value, static_cast<std::size_t>(p - value)});
        }
        break;
      }
      case Op::Kind::start:
        builder.start(op.element, tags_[op.target]);
        break;
      case Op::Kind::end:
        builder.end(op.element);
        break;
    }
  }
  return p;
}

}  // namespace imn::io
