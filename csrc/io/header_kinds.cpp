// What HeaderBuilder finds out about the kind of each spectrum.
#include <algorithm>

#include "io/header_builder.h"
#include "io/text_encoding.h"

namespace imn::io {

namespace {

constexpr std::size_t kMostKinds = 4096;

}  // namespace

void HeaderBuilder::begin_run(const Attributes& a) {
  const std::string id = to_utf8(a[Attribute::id]);
  run_ = runs_.index(id);
  run_source_ = sources_.index(a[Attribute::default_source_file_ref]);
  run_settings_ = settings_of(a[Attribute::instrument_ref]);
}

std::uint16_t HeaderBuilder::settings_of(std::string_view instrument) {
  if (settings_of_.empty()) return 0;
  const auto found = settings_of_.find(instrument);
  return found == settings_of_.end() ? 0 : settings_.index(found->second);
}

void HeaderBuilder::begin_scan(const Attributes& a) {
  if (const auto source = a[Attribute::source_file_ref]; !source.empty()) stated_.source = sources_.index(source);
  if (const auto ref = a[Attribute::instrument_ref]; !ref.empty()) {
    if (const auto settings = settings_of(ref); settings != 0) stated_.settings = settings;
  }
}

// The filter string comes from the instrument, the terms often from a converter that writes the same ones for all
// spectra: where they differ, the filter string is right.
ScanKind HeaderBuilder::kind_of_spectrum() {
  ScanKind kind;
  kind.level = stated_.level;
  if (stated_.positive != stated_.negative) {
    kind.polarity = stated_.positive ? Polarity::positive : Polarity::negative;
  }
  kind.profile = stated_.profile && !stated_.centroid;
  kind.centroid = stated_.centroid && !stated_.profile;
  kind.light = stated_.light;
  kind.run = run_;
  kind.source = stated_.source;
  kind.settings = stated_.settings;
  kind.filter = stated_.filter;
  if (stated_.window_hi > stated_.window_lo) {
    kind.window_lo = stated_.window_lo;
    kind.window_hi = stated_.window_hi;
  }
  if (stated_.filter != 0) {
    const FilterFacts& facts = filter_facts_[stated_.filter];
    auto believe = [&kind](auto& term, auto fact) {
      if (fact == decltype(fact){}) return;
      kind.contradicts_filter = kind.contradicts_filter || (term != decltype(fact){} && term != fact);
      term = fact;
    };
    believe(kind.level, facts.level);
    believe(kind.polarity, facts.polarity);
    if (kind.window_hi <= 0.0) {
      kind.window_lo = facts.window_lo;
      kind.window_hi = facts.window_hi;
    }
  }
  // Only spectra of fragments are called MSn; many converters call every spectrum MS1.
  if (kind.level == 0 && (stated_.msn || (stated_.precursor && !stated_.ms1))) kind.level = 2;
  if (kind.level == 0 && stated_.ms1) kind.level = 1;
  // Where every spectrum has a window of its own, they say nothing about how it was measured.
  if (kinds_.all().size() >= kMostKinds) kind.window_lo = kind.window_hi = 0.0;
  return kind;
}

void HeaderBuilder::finish_kinds() {
  const Stances& said = head_polarity_.positive || head_polarity_.negative ? head_polarity_ : group_polarity_;
  header_.text.both_polarities = head_polarity_.positive && head_polarity_.negative;
  if (said.positive != said.negative) header_.text.polarity = said.positive ? "positive" : "negative";
  header_.kinds = kinds_.all();
  header_.runs = runs_.all();
  header_.settings = settings_.all();
  header_.filters = filters_.all();
  header_.sources.push_back({});
  for (std::size_t i = 1; i < sources_.size(); ++i) {
    const std::string& id = sources_.all()[i];
    const auto named = source_names_.find(id);
    std::string name = named == source_names_.end() || named->second.empty() ? to_utf8(id) : named->second;
    const auto& before = header_.sources;
    if (std::find(before.begin(), before.end(), name) != before.end()) name += " (" + to_utf8(id) + ")";
    header_.sources.push_back(std::move(name));
  }
  for (std::string& filter : header_.filters) filter = to_utf8(filter);
}

}  // namespace imn::io
