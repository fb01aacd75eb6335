// IMN_MULTIVERSION compiles a function for several instruction sets and picks one when the library is loaded, so that a
// portable build still uses the wide vectors of the machine it runs on. Empty if the mechanism (ifunc) is missing,
// and with sanitizers, whose run-time is not ready when the choice is made.
#pragma once

// GCC accepts these names since version 12.
#if defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define IMN_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define IMN_MULTIVERSION
#endif
