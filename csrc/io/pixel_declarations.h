// PixelDeclarations: collects what the head of a file says about its pixels, and which of it holds for the spectra.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/scan_settings.h"

namespace imn::io {

class PixelDeclarations {
 public:
  // <scanSettings> and its end.
  void begin_settings(std::string_view id);
  void end_settings() { open_ = false; }
  // A term of the settings that are open, or of another place in the head; whether it describes pixels.
  bool take(Term term, const Attributes& attributes);
  // The same for a parameter group, by its id; and a reference to a group while settings are open.
  bool take_in_group(std::string_view group, Term term, const Attributes& attributes);
  void refer_to_group(std::string_view group);

  // The elements that may refer to settings, in themselves or through an instrument configuration.
  void instrument(const Attributes& attributes);
  void run(const Attributes& attributes);
  void scan(const Attributes& attributes);
  // Whether scan() matters: it is called for every spectrum. Constant once the spectra begin.
  bool follows_scans() const { return settings_.size() > 1; }

  DeclaredPixels decide() const;

 private:
  struct Group {
    ScanSettings settings;
    bool used = false;
  };
  void refer(std::vector<std::string>& to, const Attributes& attributes) const;

  std::vector<ScanSettings> settings_;
  ScanSettings elsewhere_;
  std::map<std::string, Group, std::less<>> groups_;
  std::map<std::string, std::string, std::less<>> settings_of_instrument_;
  std::vector<std::string> by_run_, by_scans_;
  bool open_ = false;
};

}  // namespace imn::io
