# Picks peaks of a section with MALDIquant; called by maldiquant_picks.py.
# Arguments: folder, type (centroid or profile), SNR, least frequency, relative tolerance.
# The folder has counts.bin (int32, peaks or points of each spectrum), mz.bin and intensity.bin (float64, one spectrum
# after the other). Writes picks.csv: mz, score and intensity, best first.

arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
type <- arguments[2]
snr <- as.numeric(arguments[3])
frequency <- as.numeric(arguments[4])
tolerance <- as.numeric(arguments[5])

if (!requireNamespace("MALDIquant", quietly = TRUE)) quit(status = 3)
suppressPackageStartupMessages(library(MALDIquant))

read <- function(name, what, n, size) {
  connection <- file(file.path(folder, name), "rb")
  on.exit(close(connection))
  readBin(connection, what, n = n, size = size, endian = "little")
}
counts <- read("counts.bin", "integer", file.size(file.path(folder, "counts.bin")) / 4, 4L)
total <- sum(as.numeric(counts))
of <- rep(seq_along(counts), counts)
mz <- split(read("mz.bin", "double", total, 8L), of)
intensity <- split(read("intensity.bin", "double", total, 8L), of)

if (type == "centroid") {
  # The intensity of each ion over the spectra in which it was found.
  peaks <- Map(function(m, i) createMassPeaks(mass = m, intensity = i), mz, intensity)
  peaks <- filterPeaks(binPeaks(peaks, tolerance = tolerance), minFrequency = frequency)
  found <- intensityMatrix(peaks)
  masses <- as.numeric(colnames(found))
  score <- colSums(!is.na(found)) / length(counts)
  strength <- colSums(found, na.rm = TRUE) / length(counts)
} else {
  spectra <- Map(function(m, i) createMassSpectrum(mass = m, intensity = i), mz, intensity)
  average <- removeBaseline(averageMassSpectra(spectra, method = "mean"), method = "SNIP")
  peaks <- detectPeaks(average, method = "MAD", SNR = snr)
  masses <- mass(peaks)
  score <- snr(peaks)
  strength <- intensity(peaks)
}
best <- order(-score, -strength)
picks <- data.frame(mz = sprintf("%.8f", masses), score = score, intensity = strength)[best, ]
write.csv(picks, file.path(folder, "picks.csv"), row.names = FALSE, quote = FALSE)
