#include "io/pixel_declarations.h"

#include <algorithm>

namespace imn::io {

namespace {

constexpr std::size_t kMostSettings = 64;  // settings, groups, instruments: enough for any real file

}  // namespace

void PixelDeclarations::begin_settings(std::string_view id) {
  if (settings_.size() >= kMostSettings) return;
  settings_.emplace_back().id = std::string(id);
  open_ = true;
}

bool PixelDeclarations::take(Term term, const Attributes& a) {
  return open_ ? settings_.back().take(term, a) : elsewhere_.take(term, a);
}

bool PixelDeclarations::take_in_group(std::string_view group, Term term, const Attributes& a) {
  ScanSettings probe;
  if (!probe.take(term, a)) return false;
  const auto found = groups_.find(group);
  if (found != groups_.end()) return found->second.settings.take(term, a);
  if (groups_.size() < kMostSettings) groups_.emplace(group, Group{std::move(probe), false});
  return true;
}

void PixelDeclarations::refer_to_group(std::string_view group) {
  const auto found = groups_.find(group);
  if (!open_ || found == groups_.end()) return;
  found->second.used = true;
  settings_.back().complete_with(found->second.settings);
}

void PixelDeclarations::instrument(const Attributes& a) {
  const std::string_view id = a[Attribute::id], settings = a[Attribute::scan_settings_ref];
  if (id.empty() || settings.empty() || settings_of_instrument_.size() >= kMostSettings) return;
  settings_of_instrument_.emplace(id, settings);
}

void PixelDeclarations::refer(std::vector<std::string>& to, const Attributes& a) const {
  std::string_view id = a[Attribute::scan_settings_ref];
  if (id.empty()) {
    const auto found = settings_of_instrument_.find(a[Attribute::instrument_ref]);
    if (found == settings_of_instrument_.end()) return;
    id = found->second;
  }
  if (to.size() < kMostSettings && std::find(to.begin(), to.end(), id) == to.end()) to.emplace_back(id);
}

void PixelDeclarations::run(const Attributes& a) { refer(by_run_, a); }

void PixelDeclarations::scan(const Attributes& a) { refer(by_scans_, a); }

DeclaredPixels PixelDeclarations::decide() const {
  std::vector<ScanSettings> all = settings_;
  ScanSettings rest = elsewhere_;
  for (const auto& [id, group] : groups_) {
    if (!group.used) rest.complete_with(group.settings);
  }
  if (!rest.empty()) all.push_back(rest);
  std::vector<std::string> referenced = by_scans_.empty() ? by_run_ : by_scans_;
  // The schema has the reference at the instrument; a single one needs no run that names it.
  if (referenced.empty() && settings_of_instrument_.size() == 1) {
    referenced.push_back(settings_of_instrument_.begin()->second);
  }
  return decide_pixels(all, referenced);
}

}  // namespace imn::io
