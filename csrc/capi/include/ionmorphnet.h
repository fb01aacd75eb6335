/* clang-format off */
/* ionmorphnet.h: picking ion images from C, without Python. C99; no CUDA and no Python types. docs/guide/embedding.md.
 *
 * Text        UTF-8, ends with NUL. Text that goes in is copied.
 * Options     Structures begin with their size and grow at the end only. IMN_INIT sets the size and zero elsewhere; zero
 *             is the default of every field, and a null pointer to options means all defaults. A newer caller's fields
 *             that this library does not know must be zero, otherwise IMN_ERR_STRUCT. Reserved fields must be zero.
 * Handles     Made by one function, released by the _free function of the kind, which accepts NULL and what was released
 *             before. A handle keeps alive what it was made from, so the order of release does not matter. Handles that
 *             were released, or are of another kind, are IMN_ERR_ARGUMENT, not a crash.
 * Results     Written only on success; a handle is set to NULL on failure. Text and arrays are copied to the caller.
 * Threads     All functions may be called from any thread, with the same handles. A scorer serves one pick at a time;
 *             others wait. imn_cancel_set() ends any call that was given the handle, from any thread (not from a signal
 *             handler). Callbacks: log, progress, and score of an engine with parallel = 0 run in the thread that called
 *             the library; read_at, length, read, and score with parallel > 0 run in threads of the library. They must
 *             not throw or jump out. A callback may call the library, but not with the scorer that is at work.
 * Process     Nothing is printed, no signal handler is installed (but see imn_open_options.io), no environment variable
 *             and no locale is read or set. In a child of fork(), scorers of the parent are
 *             IMN_ERR_UNAVAILABLE, and if another thread was in a call of this library at the fork, all its handles are.
 */
/* clang-format on */
#ifndef IONMORPHNET_H
#define IONMORPHNET_H

#include <stddef.h>
#include <stdint.h>

#if defined(IMN_STATIC)
#define IMN_API
#elif defined(_WIN32)
#ifdef IMN_BUILDING
#define IMN_API __declspec(dllexport)
#else
#define IMN_API __declspec(dllimport)
#endif
#else
#define IMN_API __attribute__((visibility("default")))
#endif
#ifdef _WIN32
#define IMN_CALL __cdecl
#else
#define IMN_CALL
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Grows only when callers compiled before would break; the SONAME carries it. */
#define IMN_ABI 1u

#ifdef __cplusplus
#define IMN_INIT(type) {static_cast<uint32_t>(sizeof(type))}
#else
#define IMN_INIT(type) {.struct_size = (uint32_t)sizeof(type)} /* no warning of the other fields */
#endif

/* What every function returns that can fail. Integers, not an enumeration: values may be added, never renumbered. */
typedef int32_t imn_status;
#define IMN_OK 0
#define IMN_ERR_ARGUMENT 1    /* an argument is invalid or out of range */
#define IMN_ERR_FILE 2        /* a file or a model cannot be used: "<file>: <cause>; <remedy>" */
#define IMN_ERR_UNAVAILABLE 3 /* not in this build, not on this machine, or not after fork() */
#define IMN_ERR_CANCELLED 4   /* by imn_cancel_set() or by the progress callback */
#define IMN_ERR_MEMORY 5
#define IMN_ERR_CALLBACK 6 /* a function of the caller reported a failure */
#define IMN_ERR_STRUCT 7   /* a structure is too small, or a field is set that this library does not know */
#define IMN_ERR_BUFFER                                                                                                 \
  8                        /* a buffer is too small; the needed size was written where the function has a place for it \
                            */
#define IMN_ERR_INTERNAL 9 /* a fault of this library; please report it */
#define IMN_ERR_RESULT 10  /* a network returned what is no number */

typedef struct imn_context imn_context; /* log callback, folders, default threads */
typedef struct imn_dataset imn_dataset; /* an opened section */
typedef struct imn_axis imn_axis;       /* candidate channels: m/z with their windows, ascending */
typedef struct imn_scorer imn_scorer;   /* a model with an engine that runs it, or a classical statistic */
typedef struct imn_peaks imn_peaks;     /* all candidates in the order of their scores; the first `picked` are picked */
typedef struct imn_cancel imn_cancel;

/* ---- Library and errors ---- */

IMN_API uint32_t IMN_CALL imn_abi(void); /* compare with IMN_ABI after loading the library at run time */
IMN_API const char* IMN_CALL imn_version(void);
/* Message of the last failure in this thread, cut to n bytes with NUL. Returns the bytes that all of it needs. */
IMN_API uint64_t IMN_CALL imn_message(char* to, uint64_t n);

/* ---- Context ---- */

#define IMN_LOG_WARNING 1
#define IMN_LOG_INFO 2

typedef struct imn_context_options {
  uint32_t struct_size;
  int32_t log_level;                                                /* 0: IMN_LOG_WARNING */
  void* user;                                                       /* passed to log */
  void(IMN_CALL* log)(void* user, int32_t level, const char* text); /* NULL: nothing is logged */
  const char* engine_dir; /* of the plug-ins; NULL: ionmorphnet/engines beside this library, then its own folder */
  const char* model_dir; /* folder of the bundled models; NULL: share/ionmorphnet/models beside this library's folder */
  int32_t threads;       /* for calls that do not say; 0: all cores */
  uint32_t reserved;
} imn_context_options;

IMN_API imn_status IMN_CALL imn_context_new(const imn_context_options* options, imn_context** out);
IMN_API void IMN_CALL imn_context_free(imn_context* context);

IMN_API imn_status IMN_CALL imn_cancel_new(imn_cancel** out);
IMN_API imn_status IMN_CALL imn_cancel_set(imn_cancel* cancel);   /* stays set */
IMN_API imn_status IMN_CALL imn_cancel_reset(imn_cancel* cancel); /* for the next call */
IMN_API void IMN_CALL imn_cancel_free(imn_cancel* cancel);

/* ---- Section ---- */

#define IMN_IO_READ 0   /* read calls: a file that shrinks or a share that vanishes is an error */
#define IMN_IO_MAPPED 1 /* memory-mapped: faster; reading a file that shrank ends the process, as with any mapping */
#define IMN_IO_MAPPED_WATCHED 2 /* mapped, with a SIGBUS handler of this process that turns this into an error */

#define IMN_DUPLICATES_FIRST 0 /* several spectra of one pixel: the first, their sum, their mean, or an error */
#define IMN_DUPLICATES_SUM 1
#define IMN_DUPLICATES_MEAN 2
#define IMN_DUPLICATES_ERROR 3

#define IMN_TYPE_AS_DECLARED 0
#define IMN_TYPE_PROFILE 1
#define IMN_TYPE_CENTROID 2

#define IMN_POLARITY_ANY 0
#define IMN_POLARITY_POSITIVE 1
#define IMN_POLARITY_NEGATIVE 2

typedef struct imn_open_options {
  uint32_t struct_size;
  int32_t io;            /* IMN_IO_... */
  int32_t duplicates;    /* IMN_DUPLICATES_... */
  int32_t spectrum_type; /* IMN_TYPE_... */
  int32_t lenient;       /* not 0: keep the readable spectra of a truncated ibd file */
  int32_t repair;        /* not 0: sort m/z values, drop those that are none */
  int32_t choose_plane;  /* not 0: only the spectra of `z` */
  int32_t z;
  const char* ibd_path; /* NULL: beside the imzML file */
  int64_t max_pixels;   /* refuse larger images, height * width; 0: no limit */
  /* Of a file that mixes spectra, only these are read; 0 and NULL: the lowest MS level, the more frequent polarity, all
   * runs, with a warning that counts the others. */
  const char* run;
  int32_t ms_level;
  int32_t polarity;    /* IMN_POLARITY_... */
  int32_t drop_copies; /* not 0: spectra that repeat an earlier one count as not measured */
  int32_t region;      /* only this region of the slide, from 1; 0: all in one image */
} imn_open_options;

/* Bytes of a file, wherever they are: network share, object store, memory. read_at fills `to` with n bytes from
 * `offset` and returns n; less is a failure (fewer bytes there are than `size` says), below 0 one of the source. It is
 * called from several threads at once. */
typedef struct imn_source {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t size;
  void* user;
  const char* name; /* for messages */
  int64_t(IMN_CALL* read_at)(void* user, uint64_t offset, void* to, uint64_t n);
} imn_source;

/* A vendor's own format: spectra by index. All spectra must have ascending, finite m/z; NaN and infinite intensities
 * count as 0. length returns the number of peaks of a spectrum, read fills two arrays of that length and returns 0;
 * below 0 (length) or other than 0 (read) is a failure. Both are called from several threads at once, and more than
 * once for a spectrum. */
typedef struct imn_reader {
  uint32_t struct_size;
  int32_t is_profile; /* not 0: profiles, else centroids */
  int64_t n_spectra;
  const int32_t* xyz; /* n_spectra rows of x, y, z; copied */
  void* user;
  const char* name; /* for messages */
  int64_t(IMN_CALL* length)(void* user, int64_t spectrum);
  int32_t(IMN_CALL* read)(void* user, int64_t spectrum, double* mz, float* intensity, int64_t n);
  double pixel_size_x, pixel_size_y; /* micrometres; 0: not known */
} imn_reader;

IMN_API imn_status IMN_CALL imn_dataset_open(imn_context* context, const char* imzml, const imn_open_options* options,
                                             imn_dataset** out);
/* io and ibd_path of the options are not used. The bytes of the imzML file are read once, while it is opened. */
IMN_API imn_status IMN_CALL imn_dataset_open_source(imn_context* context, const imn_source* imzml,
                                                    const imn_source* ibd, const imn_open_options* options,
                                                    imn_dataset** out);
IMN_API imn_status IMN_CALL imn_dataset_from_reader(imn_context* context, const imn_reader* reader,
                                                    const imn_open_options* options, imn_dataset** out);
IMN_API void IMN_CALL imn_dataset_free(imn_dataset* dataset);

#define IMN_N_SPECTRA 0
#define IMN_HEIGHT 1
#define IMN_WIDTH 2
#define IMN_N_PIXELS 3 /* measured */
#define IMN_N_PLANES 4
#define IMN_IS_PROFILE 5
#define IMN_IS_CONTINUOUS 6
#define IMN_PIXEL_SIZE_X 7 /* micrometres; NaN: not stated */
#define IMN_PIXEL_SIZE_Y 8
#define IMN_MZ_LOWEST 9 /* reads the ends of all spectra on first use */
#define IMN_MZ_HIGHEST 10
#define IMN_N_WARNINGS 11
#define IMN_CHANGED 12 /* 1: the file was modified since it was opened */
IMN_API imn_status IMN_CALL imn_dataset_number(const imn_dataset* dataset, int32_t what, double* out);

#define IMN_TEXT_PATH 0
#define IMN_TEXT_IBD_PATH 1
#define IMN_TEXT_UUID 2
#define IMN_TEXT_WARNING 3 /* number `i` of IMN_N_WARNINGS */
/* Text is copied to at most n bytes with NUL; length (may be NULL) receives the bytes that all of it needs. A buffer
 * that is too small receives the beginning, with IMN_ERR_BUFFER; n = 0 only asks for the length. */
IMN_API imn_status IMN_CALL imn_dataset_text(const imn_dataset* dataset, int32_t what, int64_t i, char* to, uint64_t n,
                                             uint64_t* length);
/* xyz: n_spectra rows, counted from 1. */
IMN_API imn_status IMN_CALL imn_dataset_coordinates(const imn_dataset* dataset, int32_t* xyz, uint64_t room);
/* mask: height * width bytes, 1 = measured. */
IMN_API imn_status IMN_CALL imn_dataset_mask(const imn_dataset* dataset, uint8_t* mask, uint64_t room);
/* n receives the number of peaks; with room = 0 nothing else is written. */
IMN_API imn_status IMN_CALL imn_dataset_spectrum(const imn_dataset* dataset, int64_t spectrum, double* mz,
                                                 double* intensity, int64_t room, int64_t* n);
/* images: n * height * width; what was not measured is NaN. */
IMN_API imn_status IMN_CALL imn_dataset_images(const imn_dataset* dataset, const double* lo, const double* hi,
                                               int64_t n, int32_t threads, imn_cancel* cancel, float* images,
                                               uint64_t room);

/* ---- Candidate channels ---- */

#define IMN_AXIS_AUTO 0
#define IMN_AXIS_BINS 1
#define IMN_AXIS_PEAKS 2
#define IMN_AXIS_GIVEN 3 /* mz, n_mz, and one of ppm and tol */

typedef struct imn_axis_options {
  uint32_t struct_size;
  int32_t kind; /* IMN_AXIS_... */
  int32_t threads;
  uint32_t reserved;
  double min_frequency; /* share of the spectra, above 0 to 1; 0: chosen from the data */
  double ppm;           /* half width of a window; 0: estimated (channels that are found), not this one (given ones) */
  double tol;           /* the same in m/z units, for given channels */
  const double* mz;     /* in any order; repeats count once */
  int64_t n_mz;
  imn_cancel* cancel;
} imn_axis_options;

IMN_API imn_status IMN_CALL imn_axis_find(const imn_dataset* dataset, const imn_axis_options* options, imn_axis** out);
IMN_API void IMN_CALL imn_axis_free(imn_axis* axis);
IMN_API imn_status IMN_CALL imn_axis_count(const imn_axis* axis, int64_t* n);
/* column: IMN_COL_MZ, _MZ_LO, _MZ_HI or _FREQUENCY. */
IMN_API imn_status IMN_CALL imn_axis_column(const imn_axis* axis, int32_t column, double* to, int64_t room);

/* ---- Engines ---- */

#define IMN_MEMORY_HOST 0
#define IMN_MEMORY_CUDA 1
#define IMN_F32 0
#define IMN_F16 1
#define IMN_BF16 2

/* Runs a network. images: n * channels * height * width of dtype; statistics: n * n_statistics float32, NULL if there
 * are none; outputs: n * n_outputs float32; 1 <= n <= batch. Returns 0, or what the error message then names.
 * On the host, score has finished when it returns, and stream is NULL. With CUDA all pointers are those of the device,
 * always `batch` images are there, and score enqueues its work on `stream` (a cudaStream_t) without waiting for it. */
typedef struct imn_engine {
  uint32_t struct_size;
  int32_t memory; /* IMN_MEMORY_... */
  int32_t dtype;  /* of the images; IMN_F32 on the host */
  int32_t batch;  /* most images of a call */
  int32_t channels;
  int32_t n_statistics;
  int32_t n_outputs;
  int32_t device; /* CUDA device number */
  void* user;
  int32_t(IMN_CALL* score)(void* user, const void* images, const float* statistics, float* outputs, int64_t n,
                           void* stream);
  void(IMN_CALL* destroy)(void* user); /* may be NULL; called once, when the scorer goes, also if making it fails */
  int32_t height, width;
  int32_t parallel; /* calls of score at a time; 0: one, in the thread that picks */
  uint32_t reserved;
  char name[32];      /* for tables and records, such as "openvino"; empty: "custom" */
  char precision[16]; /* what it computes in: "f32", "bf16" ...; empty: "f32" */
} imn_engine;

/* What a plug-in is asked for. A plug-in is a shared library imn_engine_<name> that exports these two functions:
 *   uint32_t   imn_engine_abi(void)    returns IMN_ABI
 *   imn_status imn_engine_open(const imn_engine_request* request, imn_engine* out, char* message, uint64_t n)
 * open fills `out`, whose struct_size says what the library knows, or writes a message of at most n bytes with NUL. */
typedef struct imn_engine_request {
  uint32_t struct_size;
  int32_t threads;          /* 0: all */
  const char* network_path; /* model.onnx, or a variant of it */
  const char* precision;    /* "auto", "f32", "bf16", "int8" */
  const char* library_path; /* the engine's own library or folder; NULL: beside the plug-in */
  int32_t channels, height, width, n_statistics, n_outputs; /* as config.json says; the network must have them */
  int32_t batch;                                            /* 0: chosen by the engine */
  void* user;
  void(IMN_CALL* log)(void* user, int32_t level, const char* text); /* may be NULL; valid while open runs */
} imn_engine_request;

typedef uint32_t(IMN_CALL* imn_engine_abi_function)(void);
typedef imn_status(IMN_CALL* imn_engine_open_function)(const imn_engine_request* request, imn_engine* out,
                                                       char* message, uint64_t n);

/* ---- Scorer ---- */

typedef struct imn_scorer_options {
  uint32_t struct_size;
  int32_t threads;
  const char* engine;         /* NULL or "auto": the first plug-in that works; "openvino", "onnxruntime"; or a classical
                                 statistic, which needs no model: "moran", "blur", "chaos", "blur_sqrt", "reliability" */
  const char* model;          /* name of a bundled model or a folder; NULL: the default model */
  const char* precision;      /* NULL or "auto", "f32", "bf16", "int8" */
  const char* engine_library; /* the engine's own library or folder; NULL: beside the plug-in */
  const imn_engine* custom;   /* runs the model's network in place of a plug-in; taken over even if the call fails, but
                                 not with IMN_ERR_STRUCT */
  int32_t no_cascade;         /* not 0: the network sees also those images that the model's cascade finds to be noise */
  uint32_t reserved;
} imn_scorer_options;

IMN_API imn_status IMN_CALL imn_scorer_new(imn_context* context, const imn_scorer_options* options, imn_scorer** out);
IMN_API void IMN_CALL imn_scorer_free(imn_scorer* scorer);

#define IMN_SCORER_NAME 0
#define IMN_SCORER_PRECISION 1
#define IMN_SCORER_DEVICE 2
#define IMN_SCORER_MODEL 3       /* empty for a statistic */
#define IMN_SCORER_DESCRIPTION 4 /* what the score is */
IMN_API imn_status IMN_CALL imn_scorer_text(const imn_scorer* scorer, int32_t what, char* to, uint64_t n,
                                            uint64_t* length);

/* ---- Pick ---- */

/* Divide ion images by a norm of each pixel's spectrum before they are scored: its sum, root mean square, or median. */
#define IMN_NORMALIZE_NONE 0
#define IMN_NORMALIZE_TIC 1
#define IMN_NORMALIZE_RMS 2
#define IMN_NORMALIZE_MEDIAN 3

typedef struct imn_pick_options {
  uint32_t struct_size;
  int32_t threads;
  int64_t top;             /* keep at most this many; 0: no such limit */
  const double* min_score; /* keep those of at least this score; with neither, the model's own threshold cuts */
  int64_t memory_limit;    /* bytes to plan with; 0: 4 GB */
  int64_t device_memory_limit;
  imn_cancel* cancel;
  void* user;
  /* Called at least every 0.1 s and once at the end; not 0 cancels. */
  int32_t(IMN_CALL* progress)(void* user, int64_t done, int64_t total);
  int32_t normalize; /* IMN_NORMALIZE_..., for imn_pick() */
  uint32_t reserved;
} imn_pick_options;

/* axis: NULL finds the candidates as imn_axis_find() does with its defaults. */
IMN_API imn_status IMN_CALL imn_pick(const imn_dataset* dataset, imn_scorer* scorer, const imn_axis* axis,
                                     const imn_pick_options* options, imn_peaks** out);
/* images: n * height * width, NaN = not measured; mask: height * width, not 0 = measured, or NULL. The images take the
 * place of channels: m/z and frequency are NaN. Without top and min_score all are picked. */
IMN_API imn_status IMN_CALL imn_score_images(imn_scorer* scorer, const float* images, const uint8_t* mask, int64_t n,
                                             int32_t height, int32_t width, const imn_pick_options* options,
                                             imn_peaks** out);
IMN_API void IMN_CALL imn_peaks_free(imn_peaks* peaks);

IMN_API imn_status IMN_CALL imn_peaks_count(const imn_peaks* peaks, int64_t* candidates, int64_t* picked);

#define IMN_COL_MZ 0
#define IMN_COL_MZ_LO 1
#define IMN_COL_MZ_HI 2
#define IMN_COL_SCORE 3
#define IMN_COL_FREQUENCY 4
#define IMN_COL_LABEL 5     /* IMN_CLASS_...; NaN without classes */
#define IMN_COL_STRUCTURE 6 /* expected grade, 0 to 3; NaN if the model has none */
#define IMN_COL_CHANNEL 7   /* position on the axis, or of the image, from 0 */
#define IMN_COL_BLANK 8     /* 1: shows nothing and was not scored */
#define IMN_COL_SPARED 9    /* 1: found to be noise by the model's cascade; the network did not see it */
#define IMN_COL_P 16        /* + IMN_CLASS_...: probability of a class; NaN without classes */

#define IMN_CLASS_STRUCTURED 0
#define IMN_CLASS_WEAK_STRUCTURED 1
#define IMN_CLASS_LOCALIZED 2
#define IMN_CLASS_FRAGMENTED 3
#define IMN_CLASS_UNSTRUCTURED 4
#define IMN_CLASS_NEGATIVE 5

/* One value per candidate, in the order of the scores; room must be at least the number of candidates. */
IMN_API imn_status IMN_CALL imn_peaks_column(const imn_peaks* peaks, int32_t column, double* to, int64_t room);
/* The run record, JSON with the keys of run.json; as imn_dataset_text(). */
IMN_API imn_status IMN_CALL imn_peaks_json(const imn_peaks* peaks, char* to, uint64_t n, uint64_t* length);

#ifdef __cplusplus
}
#endif
#endif
