/* Picks a file: pick FILE.imzML [ENGINE [TOP]], with progress; Ctrl-C cancels. */
#include <ionmorphnet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t interrupted = 0;

static void on_interrupt(int number) {
  (void)number;
  interrupted = 1;
}

static void log_line(void* user, int32_t level, const char* text) {
  (void)user;
  (void)level;
  fprintf(stderr, "%s\n", text);
}

static int32_t progress(void* user, int64_t done, int64_t total) {
  (void)user;
  fprintf(stderr, "\r%lld of %lld images", (long long)done, (long long)total);
  return interrupted; /* not 0 cancels */
}

static int fail(void) {
  char message[1024];
  imn_message(message, sizeof message);
  fprintf(stderr, "pick: %s\n", message);
  return 1;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: pick FILE.imzML [ENGINE [TOP]]\n");
    return 2;
  }
  if (imn_abi() != IMN_ABI) {
    fprintf(stderr, "pick: the library is of another version than its header\n");
    return 2;
  }
  signal(SIGINT, on_interrupt);

  imn_context_options context_options = IMN_INIT(imn_context_options);
  context_options.log = log_line;
  imn_scorer_options scorer_options = IMN_INIT(imn_scorer_options);
  scorer_options.engine = argc > 2 ? argv[2] : NULL;
  scorer_options.precision = "f32"; /* the same on every CPU */
  imn_pick_options pick_options = IMN_INIT(imn_pick_options);
  pick_options.top = argc > 3 ? atoll(argv[3]) : 0;
  pick_options.progress = progress;

  imn_context* context = NULL;
  imn_dataset* dataset = NULL;
  imn_scorer* scorer = NULL;
  imn_peaks* peaks = NULL;
  double *mz = NULL, *score = NULL;
  int64_t candidates = 0, picked = 0;
  int result = 0;
  if (imn_context_new(&context_options, &context) != IMN_OK ||
      imn_dataset_open(context, argv[1], NULL, &dataset) != IMN_OK ||
      imn_scorer_new(context, &scorer_options, &scorer) != IMN_OK ||
      imn_pick(dataset, scorer, NULL, &pick_options, &peaks) != IMN_OK ||
      imn_peaks_count(peaks, &candidates, &picked) != IMN_OK) {
    result = fail();
  } else {
    fprintf(stderr, "\n");
    mz = malloc((size_t)(candidates + 1) * sizeof *mz);
    score = malloc((size_t)(candidates + 1) * sizeof *score);
    if (mz == NULL || score == NULL || imn_peaks_column(peaks, IMN_COL_MZ, mz, candidates) != IMN_OK ||
        imn_peaks_column(peaks, IMN_COL_SCORE, score, candidates) != IMN_OK) {
      result = fail();
    }
    for (int64_t i = 0; i < picked && result == 0; ++i) printf("%.17g,%.17g\n", mz[i], score[i]);
  }
  free(mz);
  free(score);
  imn_peaks_free(peaks); /* in any order; NULL is accepted */
  imn_scorer_free(scorer);
  imn_dataset_free(dataset);
  imn_context_free(context);
  return result;
}
