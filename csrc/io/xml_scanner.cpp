#include "io/xml_scanner.h"

#include <algorithm>
#include <array>
#include <string>

#include "io/byte_find.h"
#include "io/spectrum_template.h"
#include "io/xml_declaration.h"
#include "io/xml_limits.h"

namespace imn::io {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

const char* skip_blanks(const char* p, const char* end) {
  while (p != end && is_blank(*p)) ++p;
  return p;
}

// Characters that end a name: white space, '=', '/', '>' and those that cannot be part of one.
constexpr std::array<bool, 256> kEndsName = [] {
  std::array<bool, 256> table{};
  for (const char c : {' ', '\n', '\t', '\r', '=', '/', '>', '<', '"', '\'', '&', '\0'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

const char* skip_name(const char* p, const char* end) {
  while (p != end && !kEndsName[static_cast<unsigned char>(*p)]) ++p;
  return p;
}

// Attributes expected to differ between spectra; a wrong guess only costs time.
bool varies(Attribute attribute, std::string_view value) {
  switch (attribute) {
    case Attribute::value:
    case Attribute::id:
    case Attribute::array_length:
    case Attribute::default_array_length:
      return true;
    case Attribute::other:
      return !value.empty() && value.front() >= '0' && value.front() <= '9';
    default:
      return false;
  }
}

// Encodings in which the bytes that the scanner looks for always are those characters. Text goes through to_utf8.
bool is_ascii_superset(std::string_view encoding) {
  const std::string name = usual_encoding(encoding);
  return name.empty() || name == "utf-8" || name == "us-ascii" || name == "iso-8859-1" || name == "windows-1252";
}

// Replaces the five predefined entities. Returns false if there is another one.
bool decode_entities(std::string_view raw, std::string& out) {
  constexpr std::array<std::pair<std::string_view, char>, 5> kEntities = {
      {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}}};
  out.clear();
  while (!raw.empty()) {
    if (raw.front() != '&') {
      out.push_back(raw.front());
      raw.remove_prefix(1);
      continue;
    }
    const auto* found =
        std::find_if(kEntities.begin(), kEntities.end(), [raw](const auto& e) { return raw.starts_with(e.first); });
    if (found == kEntities.end()) return false;
    out.push_back(found->second);
    raw.remove_prefix(found->first.size());
  }
  return true;
}

class Scanner {
 public:
  Scanner(std::string_view text, HeaderBuilder& builder)
      : p_(text.data()), end_(text.data() + text.size()), builder_(builder) {}

  ScanOutcome run();

 private:
  enum class Step { next, stop, fail };

  bool prolog();
  bool comment_or_other();
  bool processing_instruction();
  Step start_tag();
  bool end_tag();
  bool record_start(Element element);
  void record_end(Element element, bool used);
  bool attribute();

  const char* p_;
  const char* end_;
  HeaderBuilder& builder_;
  Attributes attributes_;
  std::array<std::string, kAttributeCount> decoded_;
  struct Open {
    std::string_view name;
    Element element;
  };
  std::array<Open, kMaxDepth> open_;
  std::size_t depth_ = 0;
  SpectrumTemplate template_;
  std::size_t recorded_depth_ = 0;
};

bool Scanner::prolog() {
  const std::string_view text(p_, static_cast<std::size_t>(end_ - p_));
  const auto encoding = declared_encoding(text);
  if (!encoding || !is_ascii_superset(*encoding)) return false;
  if (text.starts_with(kUtf8Mark)) p_ += kUtf8Mark.size();
  // Some writers start with blank lines. expat rejects them, but they do no harm.
  p_ = skip_blanks(p_, end_);
  return true;
}

bool Scanner::processing_instruction() {
  for (;;) {
    p_ = find_byte(p_, end_, '?');
    if (end_ - p_ < 2) return false;
    ++p_;
    if (*p_ == '>') return ++p_, true;
  }
}

// After "<!": a comment is skipped, anything else is left to expat.
bool Scanner::comment_or_other() {
  if (end_ - p_ < 3 || p_[1] != '-' || p_[2] != '-') return false;
  p_ += 3;
  for (;;) {
    p_ = find_byte(p_, end_, '-');
    if (end_ - p_ < 3) return false;
    if (p_[1] == '-') {
      if (p_[2] != '>') return false;  // "--" is not allowed inside a comment
      p_ += 3;
      return true;
    }
    ++p_;
  }
}

bool Scanner::attribute() {
  const char* name = p_;
  p_ = skip_name(p_, end_);
  const std::string_view key(name, static_cast<std::size_t>(p_ - name));
  if (key.empty()) return false;
  p_ = skip_blanks(p_, end_);
  if (p_ == end_ || *p_ != '=') return false;
  p_ = skip_blanks(p_ + 1, end_);
  if (p_ == end_ || (*p_ != '"' && *p_ != '\'')) return false;
  const char quote = *p_++;
  const char* value = p_;
  p_ = find_byte(p_, end_, quote, '<', '&');
  const bool entities = p_ != end_ && *p_ == '&';
  if (entities) p_ = find_byte(p_, end_, quote, '<');
  if (p_ == end_ || *p_ != quote) return false;
  std::string_view content(value, static_cast<std::size_t>(p_ - value));
  ++p_;
  const Attribute attribute = classify_attribute(key);
  if (template_.recording()) {
    if (entities) {
      template_.abandon();
    } else if (varies(attribute, content)) {
      template_.value(attribute, content);
    }
  }
  if (entities) {
    // Decoded even if unused, because an entity unknown here requires expat.
    std::string unused;
    std::string& out = attribute == Attribute::other ? unused : decoded_[static_cast<std::size_t>(attribute)];
    if (!decode_entities(content, out)) return false;
    content = out;
  }
  if (attribute == Attribute::other) return true;
  if (attributes_[attribute].data() != nullptr) return false;  // twice
  attributes_.set(attribute, content);
  return true;
}

Scanner::Step Scanner::start_tag() {
  const char* name = p_;
  p_ = skip_name(p_, end_);
  const std::string_view tag(name, static_cast<std::size_t>(p_ - name));
  if (tag.empty()) return Step::fail;
  const Element element = classify_element(without_prefix(tag));
  attributes_.clear();
  if (element == Element::spectrum && !template_.recording()) {
    template_.begin(name - 1);
    recorded_depth_ = depth_;
  }
  template_.begin_tag();
  for (;;) {
    const char* before = p_;
    p_ = skip_blanks(p_, end_);
    if (p_ == end_) return Step::fail;
    if (*p_ == '>') {
      ++p_;
      if (depth_ == kMaxDepth) return Step::fail;
      open_[depth_++] = {tag, element};
      record_start(element);
      return builder_.start(element, attributes_) ? Step::next : Step::stop;
    }
    if (*p_ == '/') {
      if (end_ - p_ < 2 || p_[1] != '>') return Step::fail;
      p_ += 2;
      const bool used = record_start(element);
      if (!builder_.start(element, attributes_)) return Step::stop;
      builder_.end(element);
      record_end(element, used && builder_.uses_end(element));
      return Step::next;
    }
    if (p_ == before || !attribute()) return Step::fail;
  }
}

bool Scanner::end_tag() {
  if (depth_ == 0) return false;
  const Open& top = open_[--depth_];
  const std::size_t length = top.name.size();
  if (static_cast<std::size_t>(end_ - p_) <= length || std::string_view(p_, length) != top.name) return false;
  p_ = skip_blanks(p_ + length, end_);
  if (p_ == end_ || *p_ != '>') return false;
  ++p_;
  record_end(top.element, builder_.uses_end(top.element));
  builder_.end(top.element);
  return true;
}

bool Scanner::record_start(Element element) {
  if (!template_.recording()) return false;
  const bool used = builder_.uses(element, attributes_);
  template_.start(element, attributes_, used);
  return used;
}

void Scanner::record_end(Element element, bool used) {
  if (!template_.recording()) return;
  template_.end(element, used, p_);
  if (element == Element::spectrum && depth_ == recorded_depth_) template_.finish(p_);
}

ScanOutcome Scanner::run() {
  if (!prolog()) return ScanOutcome::unrecognised;
  bool root = false;
  for (;;) {
    const char* text = p_;
    p_ = find_byte(p_, end_, '<', '&');
    if (depth_ == 0 && skip_blanks(text, p_) != p_) return ScanOutcome::unrecognised;
    if (p_ == end_) return root && depth_ == 0 ? ScanOutcome::complete : ScanOutcome::unrecognised;
    if (*p_ == '&' || end_ - p_ < 2) return ScanOutcome::unrecognised;
    if (p_[1] == 's' && template_.ready()) {
      if (const char* behind = template_.replay(p_, end_, builder_)) {
        p_ = behind;
        continue;
      }
    }
    ++p_;
    bool ok = true;
    switch (*p_) {
      case '/':
        ++p_;
        ok = end_tag();
        break;
      case '?':
        ++p_;
        ok = processing_instruction();
        break;
      case '!':
        ok = comment_or_other();
        break;
      default: {
        if (root && depth_ == 0) return ScanOutcome::unrecognised;  // a second root
        root = true;
        const Step step = start_tag();
        if (step == Step::stop) return ScanOutcome::stopped;
        ok = step == Step::next;
      }
    }
    if (!ok) return ScanOutcome::unrecognised;
  }
}

}  // namespace

ScanOutcome scan_xml(std::string_view text, HeaderBuilder& builder) { return Scanner(text, builder).run(); }

}  // namespace imn::io
