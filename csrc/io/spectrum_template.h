// SpectrumTemplate: parses a <spectrum> by comparing it with an earlier one. Writers emit every <spectrum> with the
// same text around the same attributes; only a few values change. The scanner records one spectrum as constant text,
// changing values and relevant events, and replays it on the next ones: it compares the constant text, extracts the
// values and sends the events. Equal bytes have equal tokens, so a replay that matches yields exactly what tokenising
// would. If it does not match, the spectrum is tokenised from its start, and HeaderBuilder discards the part it has
// received.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "io/byte_find.h"
#include "io/header_builder.h"
#include "io/xml_events.h"

namespace imn::io {

class SpectrumTemplate {
 public:
  // Recording: begin, then values and events in document order, then finish at the byte after </spectrum>.
  void begin(const char* text) {
    ops_.clear();
    tags_.clear();
    mark_ = text;
    ready_ = false;
    recording_ = true;
  }
  bool recording() const { return recording_; }

  void begin_tag() { tag_ = ops_.size(); }
  // An attribute value, without its quotes.
  void value(Attribute attribute, std::string_view text) {
    match_until(text.data());
    Op op{Op::Kind::value};
    op.attribute = attribute;
    op.quote = text.data()[text.size()];
    op.target = kNone;
    ops_.push_back(op);
    mark_ = text.data() + text.size();
  }
  // The end of a start tag. `used`: the builder needs the event.
  void start(Element element, const Attributes& attributes, bool used);
  // The end of an element; `behind` is the byte after it. All text of a spectrum is compared before its end is sent,
  // because an unfinished spectrum can be discarded and a finished one cannot.
  void end(Element element, bool used, const char* behind) {
    if (!used) return;
    if (element == Element::spectrum) match_until(behind);
    Op op{Op::Kind::end};
    op.element = element;
    ops_.push_back(op);
  }
  void finish(const char* end) {
    match_until(end);
    recording_ = false;
    ready_ = true;
  }
  // An entity, or anything else whose text differs from its value.
  void abandon() { recording_ = ready_ = false; }

  bool ready() const { return ready_; }
  // The byte after the spectrum at `p`, or nullptr if it does not match. `p` is at the position that begin() had.
  const char* replay(const char* p, const char* end, HeaderBuilder& builder);

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  struct Op {
    enum class Kind : std::uint8_t { match, value, start, end };
    Kind kind;
    char quote = 0;
    Attribute attribute = Attribute::other;
    Element element = Element::other;
    std::uint32_t target = 0;    // value: index of its tag's attributes; start: index of its attributes
    const char* text = nullptr;  // match
    std::size_t length = 0;      // match
  };

  void match_until(const char* end) {
    if (end == mark_) return;
    Op op{Op::Kind::match};
    op.text = mark_;
    op.length = static_cast<std::size_t>(end - mark_);
    ops_.push_back(op);
    mark_ = end;
  }

  std::vector<Op> ops_;
  std::vector<Attributes> tags_;
  const char* mark_ = nullptr;
  std::size_t tag_ = 0;  // first op of the current tag
  bool recording_ = false;
  bool ready_ = false;
};

}  // namespace imn::io
