// Contexts and cancel handles.
#include <filesystem>

#include "capi/objects.h"
#include "core/shared_library.h"

namespace imn::capi {

namespace {

std::string bundled_models() {
  const std::filesystem::path own = folder_of(reinterpret_cast<const void*>(&imn_abi));
  const std::u8string text = (own / ".." / "share" / "ionmorphnet" / "models").lexically_normal().u8string();
  return {text.begin(), text.end()};
}

}  // namespace

std::shared_ptr<Cancel> cancel_of(const imn_cancel* cancel) {
  return cancel == nullptr ? nullptr : object_of<Cancel>(cancel);
}

}  // namespace imn::capi

using namespace imn::capi;

extern "C" {

imn_status IMN_CALL imn_context_new(const imn_context_options* options, imn_context** out) {
  return guarded([&] {
    clear_out(out);
    const imn_context_options given = options_of(options, "imn_context_options");
    require_zero(given.reserved, "imn_context_options");
    if (given.log_level < 0 || given.log_level > IMN_LOG_INFO) {
      throw imn::ArgumentError("log_level must be IMN_LOG_WARNING or IMN_LOG_INFO, not " +
                               std::to_string(given.log_level));
    }
    auto context = std::make_shared<Context>();
    if (given.log_level > 0) context->level = given.log_level;
    context->user = given.user;
    context->log = given.log;
    context->engine_dir = text_or(given.engine_dir);
    context->model_dir = given.model_dir != nullptr ? given.model_dir : bundled_models();
    context->threads = checked_threads(given.threads, 0);
    *out = new_handle<imn_context>(std::move(context));
  });
}

void IMN_CALL imn_context_free(imn_context* context) { drop_handle(KindOf<Context>::name, context); }

imn_status IMN_CALL imn_cancel_new(imn_cancel** out) {
  return guarded([&] {
    clear_out(out);
    *out = new_handle<imn_cancel>(std::make_shared<Cancel>());
  });
}

imn_status IMN_CALL imn_cancel_set(imn_cancel* cancel) {
  return guarded([&] { object_of<Cancel>(cancel)->set = true; });
}

imn_status IMN_CALL imn_cancel_reset(imn_cancel* cancel) {
  return guarded([&] { object_of<Cancel>(cancel)->set = false; });
}

void IMN_CALL imn_cancel_free(imn_cancel* cancel) { drop_handle(KindOf<Cancel>::name, cancel); }

}  // extern "C"
