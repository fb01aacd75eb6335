#include "io/selection.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "core/error.h"

namespace imn::io {

namespace {

void count(NamedCounts& counts, const std::string& name, std::int64_t n) {
  const auto found = std::find_if(counts.begin(), counts.end(), [&](const auto& each) { return each.first == name; });
  if (found == counts.end()) {
    counts.emplace_back(name, n);
  } else {
    found->second += n;
  }
}

std::int64_t number_of(const NamedCounts& counts, const std::string& name) {
  for (const auto& [each, n] : counts) {
    if (each == name) return n;
  }
  return 0;
}

std::string spectra(std::int64_t n) { return std::to_string(n) + (n == 1 ? " spectrum" : " spectra"); }

class Selector {
 public:
  Selector(const Header& header, const OpenOptions& options, const std::string& path)
      : header_(header), options_(options), path_(path) {}

  Selection run() {
    out_.per_kind.resize(header_.kinds.size());
    for (const std::uint32_t kind : header_.kind) ++out_.per_kind[kind];
    out_.keeps.assign(header_.kinds.size(), 1);
    name_runs();
    if (!options_.everything) {
      choose_run();
      leave_out_light();
      tell_contradictions();
      choose_level();
      choose_polarity();
    }
    describe();
    if (std::find(out_.keeps.begin(), out_.keeps.end(), 0) == out_.keeps.end()) out_.keeps.clear();
    return std::move(out_);
  }

 private:
  template <typename Body>
  void for_kept(Body&& body) {
    for (std::size_t k = 0; k < header_.kinds.size(); ++k) {
      if (out_.keeps[k] != 0) body(header_.kinds[k], out_.per_kind[k], k);
    }
  }
  template <typename Keep>
  void keep_only(Keep&& keep) {
    for_kept([&](const ScanKind& kind, std::int64_t, std::size_t k) { out_.keeps[k] = keep(kind, k) ? 1 : 0; });
  }

  // A run is told by its own name, its source file and its scan settings, as far as they differ within the file.
  void name_runs() {
    using Key = std::tuple<std::uint16_t, std::uint16_t, std::uint16_t>;
    std::set<Key> keys;
    for (const ScanKind& kind : header_.kinds) keys.insert({kind.run, kind.source, kind.settings});
    // A part is left out if the parts before it tell as many runs apart.
    std::set<Key> without_settings, without_source, without_run;
    for (const auto& [run, source, settings] : keys) {
      without_settings.insert({run, source, 0});
      without_source.insert({run, 0, 0});
      without_run.insert({0, source, 0});
    }
    const bool by_settings = without_settings.size() < keys.size();
    const bool by_source = without_source.size() < without_settings.size();
    const bool by_run = without_source.size() > 1 || (!by_settings && !by_source);
    out_.run_of.resize(header_.kinds.size());
    for (std::size_t k = 0; k < header_.kinds.size(); ++k) {
      const ScanKind& kind = header_.kinds[k];
      std::string name;
      auto part = [&name](bool wanted, const std::string& text) {
        if (wanted && !text.empty()) name += (name.empty() ? "" : "/") + text;
      };
      part(by_run, header_.runs[kind.run]);
      part(by_source, header_.sources[kind.source]);
      part(by_settings, header_.settings[kind.settings]);
      if (name.empty()) name = "unnamed";
      count(out_.runs, name, out_.per_kind[k]);
      const auto at =
          std::find_if(out_.runs.begin(), out_.runs.end(), [&](const auto& each) { return each.first == name; });
      out_.run_of[k] = static_cast<std::uint16_t>(at - out_.runs.begin());
    }
  }

  void choose_run() {
    if (!options_.run) return;
    const std::string& wanted = *options_.run;
    if (number_of(out_.runs, wanted) == 0) {
      throw FileError(path_, "holds no run named " + wanted + ", but " + listed(out_.runs) +
                                 "; choose another with --run (Python: run=)");
    }
    keep_only([&](const ScanKind&, std::size_t k) { return out_.runs[out_.run_of[k]].first == wanted; });
  }

  // Converters write what detectors for light record beside the mass spectra, with wavelengths in place of m/z.
  void leave_out_light() {
    std::int64_t light = 0, all = 0;
    for_kept([&](const ScanKind& kind, std::int64_t n, std::size_t) {
      all += n;
      light += kind.light ? n : 0;
    });
    if (light == 0) return;
    if (light == all) throw FileError(path_, "holds no mass spectra: all of its spectra are of light");
    keep_only([](const ScanKind& kind, std::size_t) { return !kind.light; });
    out_.warnings.push_back(std::to_string(light) + " of " + spectra(header_.n_spectra()) +
                            " are of light (electromagnetic radiation), not of ions; they are left out");
  }

  NamedCounts levels_as_text() const {
    NamedCounts text;
    for (const auto& [level, n] : out_.ms_levels) {
      text.emplace_back(level == 0 ? "unknown" : std::to_string(level), n);
    }
    return text;
  }

  void choose_level() {
    for_kept([&](const ScanKind& kind, std::int64_t n, std::size_t) { out_.ms_levels[kind.level] += n; });
    const bool stated = out_.ms_levels.size() > 1 || out_.ms_levels.count(0) == 0;
    if (!stated) {
      out_.ms_level = options_.ms_level;
      if (options_.ms_level && *options_.ms_level != 1) {
        out_.warnings.push_back("the file states no MS level; all its spectra are read as MS" +
                                std::to_string(*options_.ms_level) + ", as asked for");
      }
      return;
    }
    // Writers that mark only the spectra of fragments leave those of MS1 unmarked.
    const std::int64_t unmarked = out_.ms_levels.count(0) != 0 ? out_.ms_levels.at(0) : 0;
    const std::int32_t lowest = unmarked > 0 ? 1 : out_.ms_levels.begin()->first;
    const std::int32_t level = options_.ms_level.value_or(lowest);
    auto matches = [level](std::int32_t own) { return own == level || (own == 0 && level == 1); };
    const auto found = std::count_if(out_.ms_levels.begin(), out_.ms_levels.end(),
                                     [&](const auto& each) { return matches(each.first); });
    if (found == 0) {
      throw FileError(path_, "holds no spectra of MS level " + std::to_string(level) + ", but of MS levels " +
                                 listed(levels_as_text()) + "; choose another with --ms-level (Python: ms_level=)");
    }
    if (static_cast<std::size_t>(found) < out_.ms_levels.size() && !options_.ms_level) {
      out_.warnings.push_back("the file holds MS levels " + listed(levels_as_text()) + "; only MS" +
                              std::to_string(level) + " is read, choose another with --ms-level (Python: ms_level=)");
    }
    if (unmarked > 0 && level == 1) {
      out_.warnings.push_back(std::to_string(unmarked) + " of " + spectra(header_.n_spectra()) +
                              " state no MS level; they are read as MS1");
    }
    keep_only([&](const ScanKind& kind, std::size_t) { return matches(kind.level); });
    out_.ms_level = level;
  }

  void choose_polarity() {
    const std::string& head = header_.text.polarity;
    for_kept(
        [&](const ScanKind& kind, std::int64_t n, std::size_t) { count(out_.polarities, name_of(kind.polarity), n); });
    auto number = [this](Polarity polarity) { return number_of(out_.polarities, name_of(polarity)); };
    const std::int64_t unknown = number(Polarity::unstated);
    // Spectra that state none are of the polarity that the head states, or else of the only one that others state.
    Polarity others = head == "positive"   ? Polarity::positive
                      : head == "negative" ? Polarity::negative
                                           : Polarity::unstated;
    if (others == Polarity::unstated && (number(Polarity::positive) > 0) != (number(Polarity::negative) > 0)) {
      others = number(Polarity::positive) > 0 ? Polarity::positive : Polarity::negative;
    }
    const bool stated = number(Polarity::positive) + number(Polarity::negative) > 0;
    if (!stated) {
      state_none(others);
      return;
    }
    if (others != Polarity::unstated && unknown > 0) {
      out_.warnings.push_back(std::to_string(unknown) + " of " + spectra(header_.n_spectra()) +
                              " state no polarity; they are read as " + name_of(others) +
                              (head.empty() ? ", like the others" : ", as the head of the file says"));
    }
    auto own = [others](const ScanKind& kind) { return kind.polarity == Polarity::unstated ? others : kind.polarity; };
    std::int64_t positive = 0, negative = 0;
    Polarity first = Polarity::unstated;
    for_kept([&](const ScanKind& kind, std::int64_t n, std::size_t) {
      const Polarity polarity = own(kind);
      if (first == Polarity::unstated) first = polarity;
      positive += polarity == Polarity::positive ? n : 0;
      negative += polarity == Polarity::negative ? n : 0;
    });
    if (others != Polarity::unstated) {
      out_.polarities.clear();
      for_kept(
          [&](const ScanKind& kind, std::int64_t n, std::size_t) { count(out_.polarities, name_of(own(kind)), n); });
    }
    const Polarity frequent = positive == negative  ? first
                              : positive > negative ? Polarity::positive
                                                    : Polarity::negative;
    const Polarity chosen = options_.polarity.value_or(frequent);
    if ((chosen == Polarity::positive ? positive : negative) == 0) {
      throw FileError(path_, "holds no spectra of " + name_of(chosen) + " polarity, but " + listed(out_.polarities) +
                                 "; choose the other with --polarity (Python: polarity=)");
    }
    if (positive > 0 && negative > 0 && !options_.polarity) {
      out_.warnings.push_back("the file holds both polarities, " + listed(out_.polarities) + "; only the " +
                              name_of(chosen) + " spectra are read, choose with --polarity (Python: polarity=)");
    } else if (positive > 0 && negative > 0 && unknown > 0 && others == Polarity::unstated) {
      out_.warnings.push_back(std::to_string(unknown) + " of " + spectra(header_.n_spectra()) +
                              " state no polarity; they are left out");
    }
    if ((positive == 0 || negative == 0) && !head.empty() && head != name_of(chosen)) {
      out_.warnings.push_back("the head of the file says " + head + " polarity, its spectra say " + name_of(chosen) +
                              "; the spectra are believed");
    }
    keep_only([&](const ScanKind& kind, std::size_t) { return own(kind) == chosen; });
    out_.polarity = chosen;
  }

  // No spectrum states its polarity.
  void state_none(Polarity head) {
    if (head != Polarity::unstated) {
      if (options_.polarity && *options_.polarity != head) {
        throw FileError(path_, "holds no spectra of " + name_of(*options_.polarity) + " polarity: its head says " +
                                   name_of(head) + "; choose that with --polarity (Python: polarity=)");
      }
      out_.polarities = {{name_of(head), out_.polarities.front().second}};
      out_.polarity = head;
    } else if (options_.polarity) {
      out_.warnings.push_back("the file does not say which polarity its spectra have; all are read as " +
                              name_of(*options_.polarity) + ", as asked for");
      out_.polarity = options_.polarity;
    } else if (header_.text.both_polarities) {
      out_.warnings.push_back(
          "the head of the file says that it holds both polarities, but its spectra do not say which they are; images "
          "and picks may mix them");
    }
  }

  void tell_contradictions() {
    std::int64_t contradictions = 0;
    for_kept([&](const ScanKind& kind, std::int64_t n, std::size_t) {
      if (kind.contradicts_filter) contradictions += n;
    });
    if (contradictions > 0) {
      out_.warnings.push_back(spectra(contradictions) +
                              " state another MS level or polarity than their filter string; the filter string is "
                              "believed");
    }
  }

  void describe() {
    std::vector<std::int64_t> by_filter(header_.filters.size());
    for_kept([&](const ScanKind& kind, std::int64_t n, std::size_t) { by_filter[kind.filter] += n; });
    for (std::size_t i = 1; i < by_filter.size(); ++i) {
      if (by_filter[i] > 0) out_.filters.emplace_back(header_.filters[i], by_filter[i]);
    }
  }

  const Header& header_;
  const OpenOptions& options_;
  const std::string& path_;
  Selection out_;
};

}  // namespace

std::string listed(const NamedCounts& counts) {
  constexpr std::size_t kShown = 6;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, counts.size()); ++i) {
    const auto& [name, n] = counts[i];
    text += (i == 0                   ? ""
             : i + 1 == counts.size() ? " and "
                                      : ", ") +
            name + " (" + (i == 0 ? spectra(n) : std::to_string(n)) + ")";
  }
  return counts.size() > kShown ? text + " ... (" + std::to_string(counts.size()) + " in all)" : text;
}

std::string name_of(Polarity polarity) {
  return polarity == Polarity::positive ? "positive" : polarity == Polarity::negative ? "negative" : "unknown";
}

Selection select_spectra(const Header& header, const OpenOptions& options, const std::string& path) {
  return Selector(header, options, path).run();
}

}  // namespace imn::io
