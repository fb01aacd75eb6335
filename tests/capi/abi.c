/* The layout of every structure is part of the interface: a field may be added at the end, none may move. Compiling
 * this file is the test, on 64-bit systems; a new field gets a line. */
#include <ionmorphnet.h>

#define ASSERT_CONCAT_(a, b) a##b
#define ASSERT_CONCAT(a, b) ASSERT_CONCAT_(a, b)
#define AT(type, field, offset) \
  typedef char ASSERT_CONCAT(type##_##field##_moved_, __LINE__)[offsetof(type, field) == (offset) ? 1 : -1]
#define ENDS(type, size) typedef char ASSERT_CONCAT(type##_shrank_, __LINE__)[sizeof(type) == (size) ? 1 : -1]
#define IS(name, value) typedef char ASSERT_CONCAT(name##_renumbered_, __LINE__)[(name) == (value) ? 1 : -1]

AT(imn_context_options, struct_size, 0);
AT(imn_context_options, log_level, 4);
AT(imn_context_options, user, 8);
AT(imn_context_options, log, 16);
AT(imn_context_options, engine_dir, 24);
AT(imn_context_options, model_dir, 32);
AT(imn_context_options, threads, 40);
AT(imn_context_options, reserved, 44);
ENDS(imn_context_options, 48);

AT(imn_open_options, struct_size, 0);
AT(imn_open_options, io, 4);
AT(imn_open_options, duplicates, 8);
AT(imn_open_options, spectrum_type, 12);
AT(imn_open_options, lenient, 16);
AT(imn_open_options, repair, 20);
AT(imn_open_options, choose_plane, 24);
AT(imn_open_options, z, 28);
AT(imn_open_options, ibd_path, 32);
AT(imn_open_options, max_pixels, 40);
AT(imn_open_options, run, 48);
AT(imn_open_options, ms_level, 56);
AT(imn_open_options, polarity, 60);
AT(imn_open_options, drop_copies, 64);
AT(imn_open_options, region, 68);
ENDS(imn_open_options, 72);

AT(imn_source, struct_size, 0);
AT(imn_source, reserved, 4);
AT(imn_source, size, 8);
AT(imn_source, user, 16);
AT(imn_source, name, 24);
AT(imn_source, read_at, 32);
ENDS(imn_source, 40);

AT(imn_reader, struct_size, 0);
AT(imn_reader, is_profile, 4);
AT(imn_reader, n_spectra, 8);
AT(imn_reader, xyz, 16);
AT(imn_reader, user, 24);
AT(imn_reader, name, 32);
AT(imn_reader, length, 40);
AT(imn_reader, read, 48);
AT(imn_reader, pixel_size_x, 56);
AT(imn_reader, pixel_size_y, 64);
ENDS(imn_reader, 72);

AT(imn_axis_options, struct_size, 0);
AT(imn_axis_options, kind, 4);
AT(imn_axis_options, threads, 8);
AT(imn_axis_options, reserved, 12);
AT(imn_axis_options, min_frequency, 16);
AT(imn_axis_options, ppm, 24);
AT(imn_axis_options, tol, 32);
AT(imn_axis_options, mz, 40);
AT(imn_axis_options, n_mz, 48);
AT(imn_axis_options, cancel, 56);
ENDS(imn_axis_options, 64);

AT(imn_engine, struct_size, 0);
AT(imn_engine, memory, 4);
AT(imn_engine, dtype, 8);
AT(imn_engine, batch, 12);
AT(imn_engine, channels, 16);
AT(imn_engine, n_statistics, 20);
AT(imn_engine, n_outputs, 24);
AT(imn_engine, device, 28);
AT(imn_engine, user, 32);
AT(imn_engine, score, 40);
AT(imn_engine, destroy, 48);
AT(imn_engine, height, 56);
AT(imn_engine, width, 60);
AT(imn_engine, parallel, 64);
AT(imn_engine, reserved, 68);
AT(imn_engine, name, 72);
AT(imn_engine, precision, 104);
ENDS(imn_engine, 120);

AT(imn_engine_request, struct_size, 0);
AT(imn_engine_request, threads, 4);
AT(imn_engine_request, network_path, 8);
AT(imn_engine_request, precision, 16);
AT(imn_engine_request, library_path, 24);
AT(imn_engine_request, channels, 32);
AT(imn_engine_request, height, 36);
AT(imn_engine_request, width, 40);
AT(imn_engine_request, n_statistics, 44);
AT(imn_engine_request, n_outputs, 48);
AT(imn_engine_request, batch, 52);
AT(imn_engine_request, user, 56);
AT(imn_engine_request, log, 64);
ENDS(imn_engine_request, 72);

AT(imn_scorer_options, struct_size, 0);
AT(imn_scorer_options, threads, 4);
AT(imn_scorer_options, engine, 8);
AT(imn_scorer_options, model, 16);
AT(imn_scorer_options, precision, 24);
AT(imn_scorer_options, engine_library, 32);
AT(imn_scorer_options, custom, 40);
AT(imn_scorer_options, no_cascade, 48);
AT(imn_scorer_options, reserved, 52);
ENDS(imn_scorer_options, 56);

AT(imn_pick_options, struct_size, 0);
AT(imn_pick_options, threads, 4);
AT(imn_pick_options, top, 8);
AT(imn_pick_options, min_score, 16);
AT(imn_pick_options, memory_limit, 24);
AT(imn_pick_options, device_memory_limit, 32);
AT(imn_pick_options, cancel, 40);
AT(imn_pick_options, user, 48);
AT(imn_pick_options, progress, 56);
AT(imn_pick_options, normalize, 64);
AT(imn_pick_options, reserved, 68);
ENDS(imn_pick_options, 72);

IS(IMN_ABI, 1);
IS(IMN_OK, 0);
IS(IMN_ERR_ARGUMENT, 1);
IS(IMN_ERR_FILE, 2);
IS(IMN_ERR_UNAVAILABLE, 3);
IS(IMN_ERR_CANCELLED, 4);
IS(IMN_ERR_MEMORY, 5);
IS(IMN_ERR_CALLBACK, 6);
IS(IMN_ERR_STRUCT, 7);
IS(IMN_ERR_INTERNAL, 9);
IS(IMN_ERR_RESULT, 10);
IS(IMN_LOG_WARNING, 1);
IS(IMN_LOG_INFO, 2);
IS(IMN_IO_READ, 0);
IS(IMN_IO_MAPPED, 1);
IS(IMN_IO_MAPPED_WATCHED, 2);
IS(IMN_DUPLICATES_FIRST, 0);
IS(IMN_DUPLICATES_SUM, 1);
IS(IMN_DUPLICATES_MEAN, 2);
IS(IMN_DUPLICATES_ERROR, 3);
IS(IMN_TYPE_AS_DECLARED, 0);
IS(IMN_TYPE_PROFILE, 1);
IS(IMN_TYPE_CENTROID, 2);
IS(IMN_POLARITY_ANY, 0);
IS(IMN_POLARITY_POSITIVE, 1);
IS(IMN_POLARITY_NEGATIVE, 2);
IS(IMN_NORMALIZE_NONE, 0);
IS(IMN_NORMALIZE_TIC, 1);
IS(IMN_NORMALIZE_RMS, 2);
IS(IMN_NORMALIZE_MEDIAN, 3);
IS(IMN_N_SPECTRA, 0);
IS(IMN_HEIGHT, 1);
IS(IMN_WIDTH, 2);
IS(IMN_N_PIXELS, 3);
IS(IMN_N_PLANES, 4);
IS(IMN_IS_PROFILE, 5);
IS(IMN_IS_CONTINUOUS, 6);
IS(IMN_PIXEL_SIZE_X, 7);
IS(IMN_PIXEL_SIZE_Y, 8);
IS(IMN_MZ_LOWEST, 9);
IS(IMN_MZ_HIGHEST, 10);
IS(IMN_N_WARNINGS, 11);
IS(IMN_CHANGED, 12);
IS(IMN_TEXT_PATH, 0);
IS(IMN_TEXT_IBD_PATH, 1);
IS(IMN_TEXT_UUID, 2);
IS(IMN_TEXT_WARNING, 3);
IS(IMN_AXIS_AUTO, 0);
IS(IMN_AXIS_BINS, 1);
IS(IMN_AXIS_PEAKS, 2);
IS(IMN_AXIS_GIVEN, 3);
IS(IMN_MEMORY_HOST, 0);
IS(IMN_MEMORY_CUDA, 1);
IS(IMN_F32, 0);
IS(IMN_F16, 1);
IS(IMN_BF16, 2);
IS(IMN_SCORER_NAME, 0);
IS(IMN_SCORER_PRECISION, 1);
IS(IMN_SCORER_DEVICE, 2);
IS(IMN_SCORER_MODEL, 3);
IS(IMN_SCORER_DESCRIPTION, 4);
IS(IMN_COL_MZ, 0);
IS(IMN_COL_MZ_LO, 1);
IS(IMN_COL_MZ_HI, 2);
IS(IMN_COL_SCORE, 3);
IS(IMN_COL_FREQUENCY, 4);
IS(IMN_COL_LABEL, 5);
IS(IMN_COL_STRUCTURE, 6);
IS(IMN_COL_CHANNEL, 7);
IS(IMN_COL_BLANK, 8);
IS(IMN_COL_SPARED, 9);
IS(IMN_COL_P, 16);
IS(IMN_CLASS_STRUCTURED, 0);
IS(IMN_CLASS_WEAK_STRUCTURED, 1);
IS(IMN_CLASS_LOCALIZED, 2);
IS(IMN_CLASS_FRAGMENTED, 3);
IS(IMN_CLASS_UNSTRUCTURED, 4);
IS(IMN_CLASS_NEGATIVE, 5);

int main(void) { return 0; }
