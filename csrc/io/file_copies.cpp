// What File says and does about spectra that repeat others.
#include <algorithm>
#include <array>
#include <cstdio>

#include "io/file.h"

namespace imn::io {

namespace {

std::string share_text(std::int64_t part, std::int64_t all) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g %%", 100.0 * static_cast<double>(part) / static_cast<double>(all));
  return text.data();
}

}  // namespace

std::vector<std::int64_t> File::copies(int threads, const std::atomic<bool>* cancel) const {
  const std::lock_guard<std::mutex> lock(copies_mutex_);
  if (!copies_) copies_ = spectra_.copies(threads, cancel);
  return *copies_;
}

void File::leave_out_copies() {
  const std::vector<std::int64_t> borrowed = spectra_.borrowed_intensities();
  if (!borrowed.empty()) {
    warnings_.push_back(std::to_string(borrowed.size()) + " of " + std::to_string(spectra_.size()) +
                        " spectra have the intensities of another spectrum but m/z of their own (first: spectrum " +
                        std::to_string(spectra_.number_in_file(borrowed.front())) +
                        "): the same offset is written for several intensity arrays; convert the file again");
  }
  if (copies_wanted_ == Copies::drop) copies(0, nullptr);
}

std::vector<std::string> File::copies_found() const {
  const std::lock_guard<std::mutex> lock(copies_mutex_);
  if (!copies_) return {};
  struct Kind {
    std::int64_t count = 0, first = -1, of_one_array = 0;
  };
  Kind elsewhere, here;
  const std::int32_t* c = grid_.coordinates.data();
  for (std::size_t s = 0; s < copies_->size(); ++s) {
    const std::int64_t original = (*copies_)[s];
    if (original < 0) continue;
    Kind& kind = std::equal(c + 3 * s, c + 3 * s + 3, c + 3 * original) ? here : elsewhere;
    if (kind.count++ == 0) kind.first = static_cast<std::int64_t>(s);
    kind.of_one_array += spectra_.share_intensities(static_cast<std::int64_t>(s), original) ? 1 : 0;
  }
  const auto numbered = [&](std::int64_t s) { return "spectrum " + std::to_string(spectra_.number_in_file(s)); };
  const auto placed = [&](std::int64_t s) {
    return numbered(s) + " at x " + std::to_string(c[3 * s]) + ", y " + std::to_string(c[3 * s + 1]);
  };
  const bool dropped = copies_wanted_ == Copies::drop;
  const std::string remedy = "; --copies drop (Python: copies='drop') leaves them out";
  std::vector<std::string> lines;
  if (elsewhere.count > 0) {
    lines.push_back(std::to_string(elsewhere.count) + " of " + std::to_string(spectra_.size()) + " spectra (" +
                    share_text(elsewhere.count, spectra_.size()) + ") are exact copies of another pixel's" +
                    (elsewhere.of_one_array == elsewhere.count ? " (their offsets are the same)" : "") +
                    ", as of lines or gaps that were filled (first: " + placed(elsewhere.first) + " repeats " +
                    placed((*copies_)[static_cast<std::size_t>(elsewhere.first)]) + ")" +
                    (dropped ? "; they count as not measured" : ", and count as measured" + remedy));
  }
  if (here.count > 0) {
    const char* effect = duplicates_ == Duplicates::sum    ? ", and the sum counts them again"
                         : duplicates_ == Duplicates::mean ? ", and the mean counts them again"
                                                           : ", and are not shown";
    lines.push_back(std::to_string(here.count) +
                    " spectra are exact copies of another one at the same pixel (first: " + numbered(here.first) +
                    " repeats " + numbered((*copies_)[static_cast<std::size_t>(here.first)]) + ")" +
                    (dropped ? "; they are left out" : effect + (duplicates_ == Duplicates::first ? "" : remedy)));
  }
  return lines;
}

}  // namespace imn::io
