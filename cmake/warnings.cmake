add_library(imn_warnings INTERFACE)
if(MSVC)
  target_compile_options(imn_warnings INTERFACE /W4 /utf-8 $<$<BOOL:${IMN_WERROR}>:/WX>)
else()
  target_compile_options(imn_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual
    $<$<BOOL:${IMN_WERROR}>:-Werror>)
endif()
if(IMN_SANITIZE)
  target_compile_options(imn_warnings INTERFACE -fsanitize=${IMN_SANITIZE} -fno-omit-frame-pointer -g)
  target_link_options(imn_warnings INTERFACE -fsanitize=${IMN_SANITIZE})
endif()
