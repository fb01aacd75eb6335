/* Wrong use of every function: each line of the table is a call and the status that it must return. */
#include <ionmorphnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

static void expect(const char* call, imn_status got, imn_status wanted, const char* part) {
  char message[1024];
  imn_message(message, sizeof message);
  if (got == wanted && (part == NULL || strstr(message, part) != NULL)) return;
  ++failures;
  printf("%s: status %d, wanted %d with '%s'; message: %s\n", call, (int)got, (int)wanted, part == NULL ? "" : part,
         message);
}
#define EXPECT(call, wanted, part) expect(#call, (call), (wanted), (part))

static int32_t failing_score(void* user, const void* images, const float* statistics, float* outputs, int64_t n,
                             void* stream) {
  (void)user, (void)images, (void)statistics, (void)outputs, (void)n, (void)stream;
  return 17;
}
static int32_t nan_score(void* user, const void* images, const float* statistics, float* outputs, int64_t n,
                         void* stream) {
  (void)user, (void)images, (void)statistics, (void)stream;
  for (int64_t i = 0; i < 7 * n; ++i) outputs[i] = 0.0f / 0.0f;
  return 0;
}
static int destroyed = 0;
static void destroy(void* user) {
  (void)user;
  ++destroyed;
}
static int64_t failing_read_at(void* user, uint64_t offset, void* to, uint64_t n) {
  (void)user, (void)offset, (void)to, (void)n;
  return -5;
}
static int64_t short_read_at(void* user, uint64_t offset, void* to, uint64_t n) {
  (void)user, (void)offset, (void)to;
  return (int64_t)n / 2;
}
static int64_t long_read_at(void* user, uint64_t offset, void* to, uint64_t n) {
  (void)user, (void)offset, (void)to;
  return (int64_t)n + 1;
}
static int64_t endless_length(void* user, int64_t spectrum) {
  (void)user, (void)spectrum;
  return INT64_MAX;
}
static int32_t nan_read(void* user, int64_t spectrum, double* mz, float* intensity, int64_t n) {
  (void)user, (void)spectrum;
  for (int64_t k = 0; k < n; ++k) mz[k] = 0.0 / 0.0, intensity[k] = 1.0f;
  return 0;
}
static int64_t reader_length(void* user, int64_t spectrum) { return user == NULL ? 3 : (spectrum == 40 ? -1 : 3); }
static int32_t reader_read(void* user, int64_t spectrum, double* mz, float* intensity, int64_t n) {
  (void)user;
  for (int64_t k = 0; k < n; ++k) mz[k] = 100.0 + (double)k, intensity[k] = (float)(spectrum % 7 + k);
  return spectrum == 41 ? 9 : 0;
}
static int32_t descending_read(void* user, int64_t spectrum, double* mz, float* intensity, int64_t n) {
  (void)user, (void)spectrum;
  for (int64_t k = 0; k < n; ++k) mz[k] = 100.0 - (double)k, intensity[k] = 1.0f;
  return 0;
}
static int32_t stop(void* user, int64_t done, int64_t total) {
  (void)user, (void)done, (void)total;
  return 1;
}

/* What a callback uses, and what came of it. */
static struct {
  imn_dataset* dataset;
  imn_scorer* scorer;
  imn_pick_options options;
  imn_status status;
} again;
static int32_t pick_again(void* user, int64_t done, int64_t total) {
  imn_peaks* peaks = NULL;
  (void)user, (void)done, (void)total;
  again.status = imn_pick(again.dataset, again.scorer, NULL, &again.options, &peaks);
  return 0;
}

static imn_engine engine_with(int32_t(IMN_CALL* score)(void*, const void*, const float*, float*, int64_t, void*)) {
  imn_engine engine = IMN_INIT(imn_engine);
  engine.batch = 8;
  engine.channels = 2;
  engine.height = engine.width = 224;
  engine.n_statistics = 4;
  engine.n_outputs = 7;
  engine.score = score;
  engine.destroy = destroy;
  return engine;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2; /* misuse SECTION MODEL_DIR */
  const char* section = argv[1];
  imn_context_options context_options = IMN_INIT(imn_context_options);
  context_options.model_dir = argv[2];
  imn_context* context = NULL;
  EXPECT(imn_context_new(&context_options, NULL), IMN_ERR_ARGUMENT, "out is NULL");
  EXPECT(imn_context_new(&context_options, &context), IMN_OK, NULL);

  /* structures */
  imn_context* other = NULL;
  imn_context_options wrong = context_options;
  wrong.struct_size = 0;
  EXPECT(imn_context_new(&wrong, &other), IMN_ERR_STRUCT, "struct_size 0");
  wrong.struct_size = 1u << 30;
  EXPECT(imn_context_new(&wrong, &other), IMN_ERR_STRUCT, "struct_size");
  wrong = context_options;
  wrong.reserved = 1;
  EXPECT(imn_context_new(&wrong, &other), IMN_ERR_STRUCT, "reserved");
  wrong = context_options;
  wrong.threads = -1;
  EXPECT(imn_context_new(&wrong, &other), IMN_ERR_ARGUMENT, "threads");
  wrong = context_options;
  wrong.log_level = 99;
  EXPECT(imn_context_new(&wrong, &other), IMN_ERR_ARGUMENT, "log_level");
  if (other != NULL) ++failures, printf("a failed call left a handle\n");

  /* datasets */
  imn_dataset* dataset = NULL;
  imn_open_options open = IMN_INIT(imn_open_options);
  EXPECT(imn_dataset_open(NULL, section, NULL, &dataset), IMN_ERR_ARGUMENT, "context is NULL");
  EXPECT(imn_dataset_open((imn_context*)(size_t)64, section, NULL, &dataset), IMN_ERR_ARGUMENT, "no handle");
  EXPECT(imn_dataset_open(context, NULL, NULL, &dataset), IMN_ERR_ARGUMENT, "imzml is NULL");
  EXPECT(imn_dataset_open(context, section, NULL, NULL), IMN_ERR_ARGUMENT, "out is NULL");
  EXPECT(imn_dataset_open(context, "no/such.imzML", NULL, &dataset), IMN_ERR_FILE, "no such file");
  EXPECT(imn_dataset_open(context, "", NULL, &dataset), IMN_ERR_FILE, NULL);
  open.io = 3;
  EXPECT(imn_dataset_open(context, section, &open, &dataset), IMN_ERR_ARGUMENT, "io must be from 0 to 2");
  open.io = -1;
  EXPECT(imn_dataset_open(context, section, &open, &dataset), IMN_ERR_ARGUMENT, "io");
  open = (imn_open_options)IMN_INIT(imn_open_options);
  open.max_pixels = 10;
  EXPECT(imn_dataset_open(context, section, &open, &dataset), IMN_ERR_ARGUMENT, "max_pixels");
  open = (imn_open_options)IMN_INIT(imn_open_options);
  open.choose_plane = 1;
  open.z = 77;
  EXPECT(imn_dataset_open(context, section, &open, &dataset), IMN_ERR_ARGUMENT, "77");
  EXPECT(imn_dataset_open(context, section, NULL, &dataset), IMN_OK, NULL);
  double number = 0;
  EXPECT(imn_dataset_number(dataset, 999, &number), IMN_ERR_ARGUMENT, "999");
  EXPECT(imn_dataset_number(dataset, IMN_HEIGHT, NULL), IMN_ERR_ARGUMENT, "out is NULL");
  EXPECT(imn_dataset_number(NULL, IMN_HEIGHT, &number), IMN_ERR_ARGUMENT, "dataset is NULL");
  EXPECT(imn_dataset_number((imn_dataset*)context, IMN_HEIGHT, &number), IMN_ERR_ARGUMENT, "no handle of this kind");
  char tiny[4];
  uint64_t length = 0;
  EXPECT(imn_dataset_text(dataset, IMN_TEXT_PATH, 0, tiny, sizeof tiny, &length), IMN_ERR_BUFFER, "needs");
  if (length != strlen(section) + 1 || strncmp(tiny, section, 3) != 0 || tiny[3] != '\0') {
    ++failures;
    printf("a text was not cut with NUL\n");
  }
  EXPECT(imn_dataset_text(dataset, IMN_TEXT_PATH, 0, NULL, 0, &length), IMN_OK, NULL);
  EXPECT(imn_dataset_text(dataset, IMN_TEXT_PATH, 0, NULL, 5, NULL), IMN_ERR_ARGUMENT, "NULL");
  EXPECT(imn_dataset_text(dataset, IMN_TEXT_WARNING, -1, tiny, 4, NULL), IMN_ERR_ARGUMENT, "no warning");
  EXPECT(imn_dataset_text(dataset, 55, 0, tiny, 4, NULL), IMN_ERR_ARGUMENT, "55");
  int64_t n = 0;
  double value = 0;
  EXPECT(imn_dataset_spectrum(dataset, -1, NULL, NULL, 0, &n), IMN_ERR_ARGUMENT, NULL);
  EXPECT(imn_dataset_spectrum(dataset, 1 << 30, NULL, NULL, 0, &n), IMN_ERR_ARGUMENT, NULL);
  EXPECT(imn_dataset_spectrum(dataset, 0, NULL, NULL, 0, NULL), IMN_ERR_ARGUMENT, "n is NULL");
  EXPECT(imn_dataset_spectrum(dataset, 0, &value, &value, 1, &n), IMN_ERR_BUFFER, "room for 1");
  EXPECT(imn_dataset_spectrum(dataset, 0, NULL, NULL, 1 << 20, &n), IMN_ERR_ARGUMENT, "mz is NULL");
  EXPECT(imn_dataset_coordinates(dataset, NULL, 0), IMN_ERR_BUFFER, "xyz");
  EXPECT(imn_dataset_mask(dataset, NULL, 1 << 20), IMN_ERR_ARGUMENT, "mask is NULL");
  const double lo = 700.0, hi = 600.0;
  static float images[200 * 200];
  const uint64_t room = sizeof images / sizeof *images;
  EXPECT(imn_dataset_images(dataset, &lo, &hi, 1, 0, NULL, images, room), IMN_ERR_ARGUMENT, NULL);
  EXPECT(imn_dataset_images(dataset, NULL, &hi, 1, 0, NULL, images, room), IMN_ERR_ARGUMENT, "lo is NULL");
  EXPECT(imn_dataset_images(dataset, &hi, &lo, 1, 0, NULL, images, 3), IMN_ERR_BUFFER, "room for 3");
  EXPECT(imn_dataset_images(dataset, &hi, &lo, -1, 0, NULL, images, room), IMN_ERR_ARGUMENT, "n must be");
  EXPECT(imn_dataset_images(dataset, &hi, &lo, 1, -2, NULL, images, room), IMN_ERR_ARGUMENT, "threads");

  /* sources and readers */
  imn_dataset* sourced = NULL;
  imn_source source = IMN_INIT(imn_source);
  EXPECT(imn_dataset_open_source(context, NULL, &source, NULL, &sourced), IMN_ERR_ARGUMENT, "NULL");
  EXPECT(imn_dataset_open_source(context, &source, &source, NULL, &sourced), IMN_ERR_ARGUMENT, "read_at is NULL");
  source.size = 5000;
  source.name = "share";
  source.read_at = failing_read_at;
  EXPECT(imn_dataset_open_source(context, &source, &source, NULL, &sourced), IMN_ERR_CALLBACK, "read_at returned -5");
  source.read_at = short_read_at;
  EXPECT(imn_dataset_open_source(context, &source, &source, NULL, &sourced), IMN_ERR_FILE, "share: cannot be read");
  source.read_at = long_read_at;
  EXPECT(imn_dataset_open_source(context, &source, &source, NULL, &sourced), IMN_ERR_CALLBACK, "read_at returned");
  source.size = UINT64_MAX;
  EXPECT(imn_dataset_open_source(context, &source, &source, NULL, &sourced), IMN_ERR_ARGUMENT, "larger than any file");
  source.struct_size = 4;
  EXPECT(imn_dataset_open_source(context, &source, &source, NULL, &sourced), IMN_ERR_STRUCT, "struct_size 4");
  int32_t xyz[3 * 64];
  for (int32_t i = 0; i < 64; ++i) xyz[3 * i] = i % 8 + 1, xyz[3 * i + 1] = i / 8 + 1, xyz[3 * i + 2] = 1;
  imn_reader reader = IMN_INIT(imn_reader);
  EXPECT(imn_dataset_from_reader(context, NULL, NULL, &sourced), IMN_ERR_ARGUMENT, "NULL");
  EXPECT(imn_dataset_from_reader(context, &reader, NULL, &sourced), IMN_ERR_ARGUMENT, "length or read");
  reader.length = reader_length;
  reader.read = reader_read;
  EXPECT(imn_dataset_from_reader(context, &reader, NULL, &sourced), IMN_ERR_FILE, "no spectra");
  reader.n_spectra = -1;
  EXPECT(imn_dataset_from_reader(context, &reader, NULL, &sourced), IMN_ERR_ARGUMENT, "n_spectra");
  reader.n_spectra = 64;
  EXPECT(imn_dataset_from_reader(context, &reader, NULL, &sourced), IMN_ERR_ARGUMENT, "xyz is NULL");
  reader.xyz = xyz;
  EXPECT(imn_dataset_from_reader(context, &reader, NULL, &sourced), IMN_OK, NULL);
  EXPECT(imn_dataset_spectrum(sourced, 41, &value, &value, 1, &n), IMN_ERR_CALLBACK, "read returned 9");
  imn_dataset_free(sourced);
  reader.user = &reader;
  reader.read = descending_read;
  EXPECT(imn_dataset_from_reader(context, &reader, NULL, &sourced), IMN_ERR_CALLBACK, "length returned -1");
  reader.user = NULL;
  EXPECT(imn_dataset_from_reader(context, &reader, NULL, &sourced), IMN_OK, NULL);
  EXPECT(imn_dataset_spectrum(sourced, 0, &value, &value, 1, &n), IMN_ERR_FILE, "not ascending");
  imn_dataset_free(sourced);
  reader.read = nan_read;
  EXPECT(imn_dataset_from_reader(context, &reader, NULL, &sourced), IMN_OK, NULL);
  EXPECT(imn_dataset_spectrum(sourced, 0, &value, &value, 1, &n), IMN_ERR_FILE, NULL);
  imn_dataset_free(sourced);
  reader.length = endless_length;
  EXPECT(imn_dataset_from_reader(context, &reader, NULL, &sourced), IMN_ERR_CALLBACK,
         "length returned 9223372036854775807");
  reader.length = reader_length;
  for (int i = 0; i < 64; ++i)
    xyz[3 * i] = INT32_MIN + 7 * i * i - i % 2, xyz[3 * i + 1] = INT32_MAX - i * i * 99991 - i % 3;
  EXPECT(imn_dataset_from_reader(context, &reader, NULL, &sourced), IMN_ERR_FILE, "the limit is");

  /* axes */
  imn_axis* axis = NULL;
  imn_axis_options channels = IMN_INIT(imn_axis_options);
  const double bad_mz[2] = {500.0, -1.0};
  EXPECT(imn_axis_find(NULL, &channels, &axis), IMN_ERR_ARGUMENT, "dataset is NULL");
  channels.kind = 9;
  EXPECT(imn_axis_find(dataset, &channels, &axis), IMN_ERR_ARGUMENT, "kind");
  channels.kind = IMN_AXIS_GIVEN;
  channels.n_mz = 2;
  EXPECT(imn_axis_find(dataset, &channels, &axis), IMN_ERR_ARGUMENT, "mz is NULL");
  channels.mz = bad_mz;
  EXPECT(imn_axis_find(dataset, &channels, &axis), IMN_ERR_ARGUMENT, "entry 1 is -1");
  channels.n_mz = 1;
  EXPECT(imn_axis_find(dataset, &channels, &axis), IMN_ERR_ARGUMENT, "exactly one of ppm");
  channels.ppm = 5;
  channels.tol = 1;
  EXPECT(imn_axis_find(dataset, &channels, &axis), IMN_ERR_ARGUMENT, "exactly one of ppm");
  channels.tol = 0;
  channels.cancel = (imn_cancel*)(size_t)32;
  EXPECT(imn_axis_find(dataset, &channels, &axis), IMN_ERR_ARGUMENT, "cancel");
  channels.cancel = NULL;
  EXPECT(imn_axis_find(dataset, &channels, &axis), IMN_OK, NULL);
  EXPECT(imn_axis_count(NULL, &n), IMN_ERR_ARGUMENT, "axis is NULL");
  EXPECT(imn_axis_count(axis, NULL), IMN_ERR_ARGUMENT, "n is NULL");
  EXPECT(imn_axis_column(NULL, IMN_COL_MZ, &value, 1), IMN_ERR_ARGUMENT, "axis is NULL");
  EXPECT(imn_axis_column(axis, IMN_COL_SCORE, &value, 1), IMN_ERR_ARGUMENT, "no column");
  EXPECT(imn_axis_column(axis, IMN_COL_MZ, &value, 0), IMN_ERR_BUFFER, "room for 0");
  EXPECT(imn_axis_column(axis, IMN_COL_MZ, &value, -4), IMN_ERR_BUFFER, "room for 0");

  /* scorers */
  imn_scorer* scorer = NULL;
  imn_scorer_options scoring = IMN_INIT(imn_scorer_options);
  scoring.engine = "no such";
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_ARGUMENT, "unknown engine 'no such'");
  scoring.engine = "coverage";
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_ARGUMENT, "unknown engine");
  scoring.engine = "moran";
  scoring.model = "atto-sim-3";
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_ARGUMENT, "uses no model");
  scoring = (imn_scorer_options)IMN_INIT(imn_scorer_options);
  scoring.model = "missing";
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_FILE, "neither a folder nor a bundled model");
  scoring.model = "missing/folder";
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_FILE, "no such model folder");
  scoring.model = NULL;
  scoring.precision = "f64";
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_ARGUMENT, "precision");
  scoring.precision = "int8";
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_UNAVAILABLE, "8-bit");
  scoring.precision = NULL;
  imn_engine engine = engine_with(NULL);
  scoring.custom = &engine;
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_ARGUMENT, "score is NULL");
  engine = engine_with(failing_score);
  engine.n_outputs = 6;
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_FILE, "returns 6 values per image");
  engine.n_outputs = 7;
  engine.width = 112;
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_FILE, "takes images of");
  engine.width = 224;
  engine.batch = 0;
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_ARGUMENT, "batch");
  engine.batch = 8;
  engine.dtype = IMN_F16;
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_ARGUMENT, "IMN_F32");
  engine.dtype = IMN_F32;
  engine.reserved = 3;
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_STRUCT, "imn_engine: reserved");
  engine.reserved = 0;
  engine.struct_size = 6;
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_STRUCT, "imn_engine: struct_size 6");
  engine.struct_size = sizeof engine;
  scoring.reserved = 1;
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_ERR_STRUCT, "imn_scorer_options: reserved");
  scoring.reserved = 0;
  if (destroyed != 5) ++failures, printf("destroy was called %d times for 5 scorers that failed\n", destroyed);

  /* picks */
  imn_peaks* peaks = NULL;
  imn_pick_options options = IMN_INIT(imn_pick_options);
  scoring = (imn_scorer_options)IMN_INIT(imn_scorer_options);
  scoring.engine = "moran";
  EXPECT(imn_scorer_new(context, &scoring, &scorer), IMN_OK, NULL);
  EXPECT(imn_scorer_text(NULL, IMN_SCORER_NAME, tiny, sizeof tiny, NULL), IMN_ERR_ARGUMENT, "scorer is NULL");
  EXPECT(imn_scorer_text(scorer, 42, tiny, sizeof tiny, NULL), IMN_ERR_ARGUMENT, "no text 42");
  EXPECT(imn_scorer_text(scorer, IMN_SCORER_NAME, tiny, sizeof tiny, &length), IMN_ERR_BUFFER, "needs 6 bytes");
  EXPECT(imn_pick(dataset, scorer, axis, &options, NULL), IMN_ERR_ARGUMENT, "out is NULL");
  EXPECT(imn_pick(dataset, scorer, axis, NULL, &peaks), IMN_ERR_ARGUMENT, "give top or min_score");
  options.top = -3;
  EXPECT(imn_pick(dataset, scorer, axis, &options, &peaks), IMN_ERR_ARGUMENT, "top must be at least 1");
  options.top = 0;
  const double nan = 0.0 / 0.0;
  options.min_score = &nan;
  EXPECT(imn_pick(dataset, scorer, axis, &options, &peaks), IMN_ERR_ARGUMENT, "min_score");
  options = (imn_pick_options)IMN_INIT(imn_pick_options);
  options.top = 3;
  options.memory_limit = 100;
  EXPECT(imn_pick(dataset, scorer, axis, &options, &peaks), IMN_ERR_ARGUMENT, "memory limit");
  options.memory_limit = 0;
  EXPECT(imn_pick(dataset, NULL, axis, &options, &peaks), IMN_ERR_ARGUMENT, "scorer is NULL");
  EXPECT(imn_pick(NULL, scorer, axis, &options, &peaks), IMN_ERR_ARGUMENT, "dataset is NULL");
  EXPECT(imn_pick(dataset, scorer, (imn_axis*)dataset, &options, &peaks), IMN_ERR_ARGUMENT, "axis is no handle");
  options.progress = stop;
  EXPECT(imn_pick(dataset, scorer, axis, &options, &peaks), IMN_ERR_CANCELLED, NULL);
  again.dataset = dataset, again.scorer = scorer, again.options = options;
  again.options.progress = NULL;
  options.progress = pick_again;
  EXPECT(imn_pick(dataset, scorer, axis, &options, &peaks), IMN_OK, NULL);
  EXPECT(again.status, IMN_ERR_ARGUMENT, "a scorer's callback must not use the same scorer");
  imn_peaks_free(peaks);
  options.progress = NULL;
  imn_cancel* cancel = NULL;
  EXPECT(imn_cancel_new(&cancel), IMN_OK, NULL);
  EXPECT(imn_cancel_set(cancel), IMN_OK, NULL);
  options.cancel = cancel;
  EXPECT(imn_pick(dataset, scorer, axis, &options, &peaks), IMN_ERR_CANCELLED, NULL);
  EXPECT(imn_cancel_reset(cancel), IMN_OK, NULL);
  EXPECT(imn_pick(dataset, scorer, axis, &options, &peaks), IMN_OK, NULL);
  EXPECT(imn_peaks_count(NULL, &n, NULL), IMN_ERR_ARGUMENT, "peaks is NULL");
  EXPECT(imn_peaks_json(NULL, NULL, 0, NULL), IMN_ERR_ARGUMENT, "peaks is NULL");
  EXPECT(imn_peaks_column(NULL, IMN_COL_MZ, &value, 1), IMN_ERR_ARGUMENT, "peaks is NULL");
  EXPECT(imn_peaks_column(peaks, 99, &value, 1), IMN_ERR_ARGUMENT, "no column 99");
  EXPECT(imn_peaks_column(peaks, IMN_COL_MZ, NULL, 1), IMN_ERR_ARGUMENT, "NULL");
  EXPECT(imn_peaks_column(peaks, IMN_COL_MZ, &value, 0), IMN_ERR_BUFFER, "room");
  EXPECT(imn_peaks_json(peaks, tiny, sizeof tiny, NULL), IMN_ERR_BUFFER, "needs");
  imn_peaks_free(peaks);
  EXPECT(imn_peaks_count(peaks, &n, NULL), IMN_ERR_ARGUMENT, "released before");
  imn_peaks_free(peaks); /* a second time */
  imn_scorer_free((imn_scorer*)dataset);
  EXPECT(imn_dataset_number(dataset, IMN_HEIGHT, &number), IMN_OK, NULL); /* the wrong kind releases nothing */

  /* engines that fail */
  imn_scorer* failing = NULL;
  scoring = (imn_scorer_options)IMN_INIT(imn_scorer_options);
  scoring.custom = &engine;
  for (int32_t parallel = 0; parallel < 3; parallel += 2) {
    engine = engine_with(failing_score);
    engine.parallel = parallel;
    EXPECT(imn_scorer_new(context, &scoring, &failing), IMN_OK, NULL);
    options.cancel = NULL;
    channels.mz = NULL;
    EXPECT(imn_pick(dataset, failing, NULL, &options, &peaks), IMN_ERR_CALLBACK, "score returned 17");
    imn_scorer_free(failing);
    engine = engine_with(nan_score);
    engine.parallel = parallel;
    EXPECT(imn_scorer_new(context, &scoring, &failing), IMN_OK, NULL);
    EXPECT(imn_pick(dataset, failing, NULL, &options, &peaks), IMN_ERR_RESULT, "not finite");
    imn_scorer_free(failing);
  }
  engine = engine_with(failing_score);
  engine.memory = IMN_MEMORY_CUDA;
  engine.dtype = 7;
  EXPECT(imn_scorer_new(context, &scoring, &failing), IMN_ERR_ARGUMENT, "unknown dtype 7");
  engine.dtype = IMN_F16;
  EXPECT(imn_scorer_new(context, &scoring, &failing), IMN_OK, NULL);
  /* without CUDA or a GPU it is not called at all */
  const imn_status on_gpu = imn_pick(dataset, failing, NULL, &options, &peaks);
  if (on_gpu != IMN_ERR_UNAVAILABLE) EXPECT(on_gpu, IMN_ERR_CALLBACK, "score returned 17");
  imn_scorer_free(failing);
  if (destroyed != 11) ++failures, printf("destroy was called %d times, wanted 11\n", destroyed);

  /* images */
  EXPECT(imn_score_images(scorer, NULL, NULL, 2, 8, 8, NULL, &peaks), IMN_ERR_ARGUMENT, "images is NULL");
  EXPECT(imn_score_images(scorer, images, NULL, 2, 0, 8, NULL, &peaks), IMN_ERR_ARGUMENT, "at least one pixel");
  EXPECT(imn_score_images(scorer, images, NULL, -2, 8, 8, NULL, &peaks), IMN_ERR_ARGUMENT, "negative");
  EXPECT(imn_score_images(scorer, images, NULL, 0, 8, 8, NULL, &peaks), IMN_OK, NULL);
  imn_peaks_free(peaks);

  /* what was released; a handle keeps alive what it was made from */
  imn_context_free(context);
  EXPECT(imn_dataset_number(dataset, IMN_WIDTH, &number), IMN_OK, NULL);
  EXPECT(imn_axis_find(dataset, NULL, &axis), IMN_OK, NULL);
  imn_dataset_free(dataset);
  EXPECT(imn_axis_count(axis, &n), IMN_OK, NULL);
  EXPECT(imn_cancel_set(NULL), IMN_ERR_ARGUMENT, "cancel is NULL");
  imn_cancel_free(cancel);
  EXPECT(imn_cancel_set(cancel), IMN_ERR_ARGUMENT, "released before");
  imn_cancel_free(NULL), imn_peaks_free(NULL), imn_axis_free(NULL), imn_scorer_free(NULL), imn_dataset_free(NULL);
  imn_context_free(NULL);
  if (imn_message(NULL, 0) == 0 || imn_message(NULL, 100) == 0) ++failures, printf("no message\n");
  printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
