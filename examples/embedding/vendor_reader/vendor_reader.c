/* Picks spectra that a program holds in its own form: no imzML file. Here they are made up: a section of 48 x 48 pixels
 * with two ions that show a disc, and eight that are noise. */
#include <ionmorphnet.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 48, IONS = 10 };

struct section {
  int32_t xyz[3 * SIDE * SIDE];
  float intensity[SIDE * SIDE][IONS];
};

static double ion_mz(int ion) { return 500.0 + 25.0 * ion; }

/* Both functions are called from several threads at once, and only read. */
static int64_t length(void* user, int64_t spectrum) {
  (void)user;
  (void)spectrum;
  return IONS;
}

static int32_t read_spectrum(void* user, int64_t spectrum, double* mz, float* intensity, int64_t n) {
  const struct section* section = user;
  for (int64_t k = 0; k < n; ++k) {
    mz[k] = ion_mz((int)k);
    intensity[k] = section->intensity[spectrum][k];
  }
  return 0;
}

static unsigned next_random(unsigned* state) { return (*state = *state * 1664525u + 1013904223u) >> 16; }

int main(void) {
  static struct section section;
  unsigned state = 1;
  for (int y = 0; y < SIDE; ++y) {
    for (int x = 0; x < SIDE; ++x) {
      const int at = y * SIDE + x;
      section.xyz[3 * at] = x + 1;
      section.xyz[3 * at + 1] = y + 1;
      section.xyz[3 * at + 2] = 1;
      const int inside = (x - 24) * (x - 24) + (y - 24) * (y - 24) < 200;
      for (int ion = 0; ion < IONS; ++ion) {
        const float noise = (float)(next_random(&state) % 1000u) + 1.0f;
        section.intensity[at][ion] = ion < 2 ? noise + (inside ? 5000.0f : 0.0f) : noise;
      }
    }
  }

  imn_reader reader = IMN_INIT(imn_reader);
  reader.n_spectra = SIDE * SIDE;
  reader.xyz = section.xyz;
  reader.user = &section;
  reader.name = "made-up section";
  reader.length = length;
  reader.read = read_spectrum;
  imn_scorer_options scorer_options = IMN_INIT(imn_scorer_options);
  scorer_options.engine = "moran";
  imn_pick_options options = IMN_INIT(imn_pick_options);
  options.top = 2;

  imn_context* context = NULL;
  imn_dataset* dataset = NULL;
  imn_scorer* scorer = NULL;
  imn_peaks* peaks = NULL;
  double mz[256];
  int64_t candidates = 0, picked = 0;
  int result = 0;
  if (imn_context_new(NULL, &context) != IMN_OK ||
      imn_dataset_from_reader(context, &reader, NULL, &dataset) != IMN_OK ||
      imn_scorer_new(context, &scorer_options, &scorer) != IMN_OK ||
      imn_pick(dataset, scorer, NULL, &options, &peaks) != IMN_OK ||
      imn_peaks_count(peaks, &candidates, &picked) != IMN_OK ||
      imn_peaks_column(peaks, IMN_COL_MZ, mz, (int64_t)(sizeof mz / sizeof *mz)) != IMN_OK) {
    char message[1024];
    imn_message(message, sizeof message);
    fprintf(stderr, "vendor_reader: %s\n", message);
    result = 1;
  }
  for (int64_t i = 0; i < picked && result == 0; ++i) printf("%.4f\n", mz[i]);
  imn_peaks_free(peaks);
  imn_scorer_free(scorer);
  imn_dataset_free(dataset);
  imn_context_free(context);
  return result;
}
