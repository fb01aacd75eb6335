# Made from the built module by `make stubs`; do not edit.
"""
Native core of ionmorphnet; use the Python package, not this module.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

import ionmorphnet.base.native_types
import ionmorphnet.scoring.device_network

__all__: list[str] = [
    "DEFAULT_MEMORY_LIMIT",
    "DEFAULT_MODEL",
    "DEFAULT_PINNED_MEMORY",
    "HIGHEST_GRADE",
    "INT8_FILE",
    "SUPPORTED_FORMAT",
    "Dataset",
    "Scorer",
    "bin_images",
    "build_info",
    "bundled_models",
    "callback_scorer",
    "candidate_axis",
    "check_cut",
    "check_network",
    "check_scores",
    "choose_device",
    "class_names",
    "count_frequency",
    "cpu_has_bf16",
    "cut_ranked",
    "cutting_threshold",
    "extract_patches",
    "fewest_pixels",
    "file_state",
    "fill",
    "find_ibd",
    "given_axis",
    "half_width_text",
    "has_openvino",
    "image_statistics",
    "load_model",
    "mean_spectrum",
    "median_norm",
    "model_folder",
    "mz_windows",
    "network_outcome",
    "normalization_factors",
    "open_dataset",
    "openvino_scorer",
    "parse_preprocess_id",
    "pick_ranked",
    "pick_warnings",
    "pixel_cautions",
    "pixel_norms",
    "prepare_pick",
    "preprocess",
    "preprocess_channels",
    "preprocess_size",
    "probe_bin",
    "probe_copy",
    "probe_prepare",
    "probe_read",
    "rank_scores",
    "ranking_statistics",
    "read_head",
    "require_cut",
    "sample_map",
    "sample_of_images",
    "score_description",
    "score_stack",
    "score_stack_on_device",
    "score_windows",
    "score_windows_on_device",
    "section_sample",
    "spectrum_facts",
    "statistic_names",
    "tic_image",
    "too_few_pixels",
    "validate",
]

class Dataset:
    """
    An open imzML section, or one z plane of it; ionmorphnet.Dataset wraps it.
    """
    def changed(self) -> bool: ...
    def copies(self, *, threads: int) -> numpy.typing.NDArray[numpy.int64]:
        """
        By spectrum: the number in the file of the earlier spectrum that it repeats, or -1.
        """
    def mz_range(self) -> tuple[float, float]: ...
    def overlapping(self) -> list[int]: ...
    def plane(self, z: int) -> Dataset: ...
    def region(self, number: int) -> Dataset: ...
    def region_of_spectrum(self) -> numpy.typing.NDArray[numpy.int32]: ...
    def regions(self) -> list[tuple[int, int, int, int, int, int]]: ...
    def require_one_z(self, remedy: str) -> None:
        """
        ArgumentError that ends with the remedy if there are several z planes.
        """
    def scaled(self, factors: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> Dataset:
        """
        The same spectra, with ion images multiplied by one factor per pixel (height, width).
        """
    def spectrum(
        self, index: int
    ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]: ...
    def spectrum_length(self, index: int) -> int: ...
    def spectrum_range(
        self, index: int, lo: float, hi: float
    ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]: ...
    @property
    def coordinate_origin(self) -> tuple[int, int, int]: ...
    @property
    def coordinate_step(self) -> tuple[int, int, int]: ...
    @property
    def coordinates(self) -> numpy.typing.NDArray[numpy.int32]: ...
    @property
    def declared(self) -> list[tuple[str, str]]: ...
    @property
    def height(self) -> int: ...
    @property
    def ibd_path(self) -> str: ...
    @property
    def mode(self) -> typing.Literal["continuous", "processed"]: ...
    @property
    def ms_level(self) -> int | None: ...
    @property
    def ms_levels(self) -> dict[int, int]: ...
    @property
    def n_spectra(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def pixel_size_um(self) -> tuple[float, float] | None: ...
    @property
    def pixels(self) -> numpy.typing.NDArray[numpy.int64]: ...
    @property
    def polarities(self) -> list[tuple[str, int]]: ...
    @property
    def polarity(self) -> str | None: ...
    @property
    def raw_coordinates(self) -> numpy.typing.NDArray[numpy.int64]: ...
    @property
    def runs(self) -> list[tuple[str, int]]: ...
    @property
    def scan_filters(self) -> list[tuple[str, int]]: ...
    @property
    def shown(self) -> numpy.typing.NDArray[numpy.int64]: ...
    @property
    def spectrum_type(self) -> typing.Literal["profile", "centroid"]: ...
    @property
    def warnings(self) -> list[str]: ...
    @property
    def width(self) -> int: ...
    @property
    def z_planes(self) -> list[int]: ...

class Scorer:
    """
    A network that scores images; openvino_scorer() and callback_scorer() make one.
    """
    def score(
        self,
        batch: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        statistics: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        (n, C, H, W) preprocessed images and, where info['n_statistics'] > 0, their (n, F) statistics -> (n, K) outputs, any n.
        """
    @property
    def info(self) -> ionmorphnet.base.native_types.ScorerInfo: ...

def bin_images(
    dataset: Dataset,
    lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    unmeasured: float = ...,
    threads: int = 0,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    Ion images (n, H, W) float32 of m/z windows [lo, hi].
    """

def build_info() -> ionmorphnet.base.native_types.NativeBuildInfo:
    """
    What was built and which devices this host has.
    """

def bundled_models(bundled: str) -> list[str]:
    """
    Names of the models in a folder.
    """

def callback_scorer(
    callable: collections.abc.Callable[..., typing.Annotated[numpy.typing.ArrayLike, numpy.float32]],
    channels: int,
    height: int,
    width: int,
    n_outputs: int,
    batch: int,
    name: str = "callback",
    device: str = "cpu",
    precision: str = "f32",
    n_statistics: int = 0,
) -> Scorer:
    """
    A scorer that calls a Python function with batches of preprocessed images.
    """

def candidate_axis(
    dataset: Dataset, kind: str = "auto", min_frequency: float | None = None, ppm: float | None = None, threads: int = 0
) -> tuple[
    numpy.typing.NDArray[numpy.float64],
    numpy.typing.NDArray[numpy.float64],
    numpy.typing.NDArray[numpy.float64],
    numpy.typing.NDArray[numpy.float64],
    str,
    list[str],
    dict[str, float | str],
]:
    """
    mz, mz_lo, mz_hi, frequency, method, notes and evidence of the candidate channels; None: chosen from the data.
    """

def check_cut(top: int | None, min_score: float | None) -> None:
    """
    ArgumentError if a limit of a pick is out of range.
    """

def check_network(
    network: Scorer,
    *,
    folder: str,
    preprocessing: str,
    outputs: collections.abc.Sequence[str],
    statistics: collections.abc.Sequence[str],
) -> None:
    """
    FileError unless the network takes and returns what the model's config.json says.
    """

def check_scores(scorer: str, scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> None:
    """
    IonMorphNetError if a score is not finite.
    """

def choose_device(name: str) -> str:
    """
    'cpu' or 'cuda:N' for 'auto', 'cpu', 'cuda' or 'cuda:N'.
    """

def class_names() -> list[str]:
    """
    Names of the classes in the order of the logits.
    """

def count_frequency(
    dataset: Dataset,
    mz_lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    mz_hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    threads: int = 0,
) -> numpy.typing.NDArray[numpy.float64]:
    """
    Share of the measured pixels with signal in each window (n,).
    """

def cpu_has_bf16() -> bool:
    """
    Whether OpenVINO computes in bf16 on this CPU.
    """

def cut_ranked(
    ranked_scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    top: int | None = None,
    min_score: float | None = None,
) -> int:
    """
    How many of the ranked scores are kept.
    """

def cutting_threshold(top: int | None, min_score: float | None, threshold: float | None) -> float | None:
    """
    The threshold of the model, if it makes the cut.
    """

def extract_patches(
    cube: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    measured: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
    pixels: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    size: int,
    channels: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    centre: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    threads: int = 0,
    out_values: numpy.typing.NDArray[numpy.float32] | None = None,
    out_mask: numpy.typing.NDArray[numpy.uint8] | None = None,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.uint8]]:
    """
    (H, W, C) float32 -> (n, channels, size, size) float32 and (n, size, size) uint8, 1 = measured.
    """

def fewest_pixels() -> int:
    """
    Measured pixels that a network needs.
    """

def file_state(imzml: str, ibd: str) -> ionmorphnet.base.native_types.FileState:
    """
    Sizes, times of last change and a hash of pieces of both files.
    """

def fill(mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]) -> float:
    """
    Mean share of measured pixels among the 5 x 5 around each measured pixel of a mask (H, W) of 0 and 1.
    """

def find_ibd(path: str) -> str:
    """
    The ibd file of an imzML file.
    """

def given_axis(
    mz: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], *, ppm: float | None = None, tol: float | None = None
) -> tuple[
    numpy.typing.NDArray[numpy.float64],
    numpy.typing.NDArray[numpy.float64],
    numpy.typing.NDArray[numpy.float64],
    numpy.typing.NDArray[numpy.float64],
    str,
    int,
]:
    """
    mz, mz_lo, mz_hi, frequency and method of the channels of an m/z list, and how many values were repeated.
    """

def half_width_text(*, ppm: float | None, tol: float | None) -> str:
    """
    How the method of an axis names a half width.
    """

def image_statistics(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    threads: int = 0,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    (n, H, W) float32 -> (n, 6) moran, blur, chaos, coverage, blur_sqrt, reliability; NaN or mask == 0 = not measured.
    """

def load_model(model: str, bundled: str) -> ionmorphnet.base.native_types.ModelFacts:
    """
    Loads and checks a model folder, or a model in the folder `bundled`.
    """

def mean_spectrum(
    dataset: Dataset, bin_width_ppm: float | None = None, threads: int = 0
) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    m/z values and mean intensities; processed files are binned, by default with a width chosen from the data.
    """

def median_norm(norms: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> float:
    """
    The lower median of the positive norms; 0 if there are none.
    """

def model_folder(model: str, bundled: str) -> str:
    """
    The folder of a model.
    """

def mz_windows(
    mz: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], *, ppm: float | None = None, tol: float | None = None
) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Lower and upper bounds of windows of this half width, in ppm or m/z.
    """

def network_outcome(
    scorer: str,
    outputs: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    blank: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
    reach: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    *,
    structure: bool,
    weights: typing.Annotated[collections.abc.Sequence[float], "FixedSize(6)"] | None = None,
    ceiling: float | None = None,
) -> tuple[
    numpy.typing.NDArray[numpy.float64],
    numpy.typing.NDArray[numpy.float64],
    numpy.typing.NDArray[numpy.float64] | None,
    numpy.typing.NDArray[numpy.int32],
]:
    """
    Outputs (n, k) of a network -> score (n,), probabilities (n, 6), structure (n,) or None, most probable class (n,). `weights` of the classes in the score, None: the structure is the score; `ceiling` of the cascade's scores.
    """

def normalization_factors(
    norms: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
) -> numpy.typing.NDArray[numpy.float64]:
    """
    Factors (n,) that make all norms equal to their median.
    """

def open_dataset(
    path: str,
    *,
    ibd_path: str | None,
    strict: bool,
    duplicates: str,
    spectrum_type: str | None,
    repair: bool,
    copies: str,
    ms_level: int | None,
    polarity: str | None,
    run: str | None,
    everything: bool = False,
) -> Dataset:
    """
    Opens an imzML file; ibd_path=None: the ibd file next to it.
    """

def openvino_scorer(path: str, precision: str = "auto", threads: int = 0, batch: int | None = None) -> Scorer:
    """
    Compiles an ONNX network for the CPU. batch: images scored at a time; None: chosen by the scorer.
    """

def parse_preprocess_id(preprocess_id: str) -> tuple[str, int, bool, bool, bool]:
    """
    resize, size, mask, sqrt and sample of a preprocessing id.
    """

def pick_ranked(
    ranked_scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    top: int | None,
    min_score: float | None,
    threshold: float | None,
    excluded: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
) -> tuple[numpy.typing.NDArray[numpy.int64], int]:
    """
    Rows of the ranked scores that are picked, and how many are not because they are excluded.
    """

def pick_warnings(
    dataset: Dataset,
    mz_lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    mz_hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    notes: collections.abc.Sequence[str],
    *,
    network: bool,
) -> list[str]:
    """
    What limits the meaning of the scores of these channels, one line each.
    """

def pixel_cautions(mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8], *, network: bool) -> list[str]:
    """
    What limits the meaning of scores, one line each.
    """

def pixel_norms(
    dataset: Dataset, kind: str, lo: float, hi: float, threads: int = 0
) -> numpy.typing.NDArray[numpy.float64]:
    """
    TIC, RMS or median of each pixel's spectrum in [lo, hi], (H, W) float64; 0: no value.
    """

def prepare_pick(
    dataset: Dataset,
    mz_lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    mz_hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    frequency: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    *,
    network: bool,
    threads: int = 0,
) -> numpy.typing.NDArray[numpy.float64]:
    """
    Refuses sections that cannot be scored; returns the frequencies, counted if none is known.
    """

def preprocess(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    preprocess_id: str,
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    sample: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    threads: int = 0,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    (n, H, W) float32 -> (n, C, size, size) float32; NaN or mask == 0 = not measured; sample (H, W): the section's sample map, None = unknown.
    """

def preprocess_channels(preprocess_id: str) -> int:
    """
    Channels of the network input that a preprocessing id makes.
    """

def preprocess_size(preprocess_id: str) -> int:
    """
    Side in pixels of the network input that a preprocessing id makes.
    """

def probe_bin(
    dataset: Dataset,
    lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    *,
    device: str,
    threads: int = 0,
    repeat: int = 0,
    keep_images: bool = True,
    pinned_memory: int = 201326592,
) -> ionmorphnet.base.native_types.BinProbe:
    """
    images (n, H, W) float32 binned on the device, 0 where not measured; seconds per repetition; pixels of each chunk.
    """

def probe_copy(bytes: int, *, device: str, repeat: int = 10) -> ionmorphnet.base.native_types.CopyProbe:
    """
    Seconds of a copy on the device (copy_s) and of an upload to it (upload_s).
    """

def probe_prepare(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    *,
    preprocess_id: str,
    type: str = "f32",
    statistics: collections.abc.Sequence[str] = [],
    sample: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    device: str,
    repeat: int = 0,
) -> ionmorphnet.base.native_types.PrepareProbe:
    """
    (n, H, W) float32 -> input (n, C, size, size) float32, or uint16 with the bits of 16-bit floats; facts, a dict of (n,) arrays; statistics (n, k); seconds per repetition on the device.
    """

def probe_read(
    dataset: Dataset,
    lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    *,
    batch: int = 64,
    device_memory: int = 68719476736,
    pinned_memory: int = 201326592,
    threads: int = 0,
) -> ionmorphnet.base.native_types.ReadProbe:
    """
    Reads as the device loop does, without a device: seconds, first_chunk_s, chunks, bytes.
    """

def rank_scores(scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.int64]:
    """
    Indices of the scores from best to worst.
    """

def ranking_statistics() -> list[tuple[str, str]]:
    """
    Name and description of each statistic that ranks channels.
    """

def read_head(path: str) -> list[tuple[str, str]]:
    """
    What the header declares before its spectra: (name, value) pairs.
    """

def require_cut(scorer: str, top: int | None, min_score: float | None, threshold: float | None) -> None:
    """
    ArgumentError if nothing says how many channels are picked.
    """

def sample_map(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    threads: int = 0,
) -> (
    tuple[
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.bool],
        float,
        float,
        numpy.typing.NDArray[numpy.float64],
    ]
    | None
):
    """
    Images (n, H, W) float32 of one section -> sample map (H, W), coherent (n,), off_sample, separation, noise (n,); None if the images cannot tell.
    """

def sample_of_images(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    *,
    threads: int = 0,
) -> ionmorphnet.base.native_types.SampleFacts:
    """
    The sample map of a section, from ion images (n, H, W) of it.
    """

def score_description(weights: typing.Annotated[collections.abc.Sequence[float], "FixedSize(6)"] | None) -> str:
    """
    Definition of the score in one line; None: the structure is the score.
    """

def score_stack(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    *,
    scorer: Scorer | None = None,
    preprocess_id: str | None = None,
    statistics: collections.abc.Sequence[str] = [],
    statistic: str | None = None,
    sample: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    cascade: tuple[float, float] | None = None,
    reach: numpy.typing.NDArray[numpy.float32] | None = None,
    threads: int = 0,
    progress: collections.abc.Callable[[int, int], None] | None = None,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.bool], dict[str, float | int | bool]]:
    """
    Like score_windows(), for images (n, H, W) in memory.
    """

def score_stack_on_device(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    *,
    scorer: ionmorphnet.scoring.device_network.DeviceNetwork,
    preprocess_id: str,
    statistics: collections.abc.Sequence[str] = [],
    sample: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    device: str,
    device_memory: int | None = None,
    pinned_memory: int = 201326592,
    threads: int = 0,
    progress: collections.abc.Callable[[int, int], None] | None = None,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.bool], dict[str, float | int | bool]]: ...
def score_windows(
    dataset: Dataset,
    mz_lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    mz_hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    *,
    scorer: Scorer | None = None,
    preprocess_id: str | None = None,
    statistics: collections.abc.Sequence[str] = [],
    statistic: str | None = None,
    sample: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    cascade: tuple[float, float] | None = None,
    reach: numpy.typing.NDArray[numpy.float32] | None = None,
    memory_limit: int = 4000000000,
    threads: int = 0,
    progress: collections.abc.Callable[[int, int], None] | None = None,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.bool], dict[str, float | int | bool]]:
    """
    Scores one ion image per m/z window. `statistics`: the second input of the network; `statistic`: the classical score to compute instead; `sample` (H, W): the section's sample map, for networks that read it. `cascade`: limits of Moran's z and of blur below which the network is spared an image; `reach` (n,) float32 then receives NaN for the others. Returns outputs float32 (n, k), 0 for blank images; blank (n,); timings.
    """

def score_windows_on_device(
    dataset: Dataset,
    mz_lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    mz_hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    *,
    scorer: ionmorphnet.scoring.device_network.DeviceNetwork,
    preprocess_id: str,
    statistics: collections.abc.Sequence[str] = [],
    sample: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    device: str,
    device_memory: int | None = None,
    pinned_memory: int = 201326592,
    threads: int = 0,
    progress: collections.abc.Callable[[int, int], None] | None = None,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.bool], dict[str, float | int | bool]]: ...
def section_sample(
    dataset: Dataset,
    mz_lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    mz_hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    frequency: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    *,
    threads: int = 0,
) -> ionmorphnet.base.native_types.SampleFacts:
    """
    The sample map of a section, from its channels.
    """

def spectrum_facts(
    dataset: Dataset,
    spectra: collections.abc.Sequence[int],
    edges: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    *,
    threads: int,
) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float32]]:
    """
    Of each spectrum (n, 7): values other than 0, total, sum of squares, least, largest, values equal to the largest, values near it; and the square root of the intensity in each m/z band (n, bands).
    """

def statistic_names() -> list[str]:
    """
    Names of the classical statistics in the order of the columns of image_statistics().
    """

def tic_image(dataset: Dataset, unmeasured: float = ..., threads: int = 0) -> numpy.typing.NDArray[numpy.float32]:
    """
    Total ion current (H, W) float32.
    """

def too_few_pixels(mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]) -> str:
    """
    Why a network cannot score images with these measured pixels (H, W); empty if it can.
    """

def validate(
    dataset: Dataset, *, threads: int, progress: collections.abc.Callable[[int], None] | None
) -> list[tuple[str, int, int, bool]]:
    """
    Reads every spectrum. Problems as (message, count, first spectrum, is_error); progress(spectra read).
    """

DEFAULT_MEMORY_LIMIT: int
DEFAULT_MODEL: str
DEFAULT_PINNED_MEMORY: int
HIGHEST_GRADE: float = 3.0
INT8_FILE: str
SUPPORTED_FORMAT: int
__version__: str
has_openvino: bool
