add_library(imn_warnings INTERFACE)
if(MSVC)
  target_compile_options(imn_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:/W4 /utf-8 $<$<BOOL:${IMN_WERROR}>:/WX>>)
else()
  target_compile_options(imn_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual
    $<$<BOOL:${IMN_WERROR}>:-Werror>>)
  # nvcc hands generated code to the host compiler, which -Wpedantic and -Wold-style-cast dislike.
  target_compile_options(imn_warnings INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:
    -Xcompiler=-Wall,-Wextra -Wreorder
    $<$<BOOL:${IMN_WERROR}>:--Werror=all-warnings>>)
endif()
if(IMN_SANITIZE)
  target_compile_options(imn_warnings INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${IMN_SANITIZE} -fno-omit-frame-pointer -g>)
  target_link_options(imn_warnings INTERFACE -fsanitize=${IMN_SANITIZE})
endif()
