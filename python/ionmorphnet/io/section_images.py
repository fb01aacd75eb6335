"""Ion images, mean spectrum and TIC of a section: the methods of a Dataset that read all spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionmorphnet import _core
from ionmorphnet.base.arguments import positive, thread_count
from ionmorphnet.base.errors import ArgumentError, IonMorphNetError
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.normalization import checked_normalize, normalization_factors, pixel_norms
from ionmorphnet.io.windows import mz_windows


class SectionImages:
    """The part of :class:`ionmorphnet.Dataset` that makes images and summaries of all spectra."""

    _normalize: Normalize
    # Native handles with the factors of each normalisation that was asked for.
    _scaled: dict[Normalize, _core.Dataset]

    @property
    def _native(self) -> _core.Dataset:
        raise NotImplementedError

    @property
    def path(self) -> str:
        """Path of the imzML file, as given."""
        raise NotImplementedError

    @property
    def z_planes(self) -> list[int]:
        """Values of z, ascending."""
        raise NotImplementedError

    def _as_normalized(self, kind: Normalize) -> Self:
        """The same section with another :attr:`normalize`."""
        raise NotImplementedError

    @property
    def normalize(self) -> Normalize:
        """How ion images of this dataset are normalised: ``"none"`` unless it came from :meth:`normalized`."""
        return self._normalize

    def normalized(self, kind: Normalize, *, threads: int = 0) -> Self:
        """The same section with normalised ion images; it shares the opened files.

        Each ion image is multiplied by one factor per pixel, ``m / norm``: ``norm`` is that of the pixel's whole
        spectrum (``tic``: sum, ``rms``: root mean square of all stored points, ``median``: of the positive
        intensities), ``m`` the median norm of all pixels, so that a typical pixel keeps its intensities. The factor is
        0 for an empty spectrum. Spectra, :meth:`mean_spectrum`, :meth:`tic_image` and candidates are not normalised.
        The norms are computed here, in one pass over the spectra.

        Args:
            kind: ``"tic"``, ``"rms"``, ``"median"``, or ``"none"`` for the intensities as they are.
            threads: Worker threads, 0 = all cores. Does not affect the result.

        Raises:
            ArgumentError: Unknown kind, or the file holds several z planes (use ``ds.plane(z)``).
            FileError: A spectrum cannot be read.
        """
        kind = checked_normalize(kind)
        if kind != "none":
            self._images_of(kind, threads)
        return self._as_normalized(kind)

    def _images_of(self, kind: Normalize | None, threads: int) -> _core.Dataset:
        """The native handle whose ion images are normalised so; None: as this dataset's are."""
        kind = self._normalize if kind is None else checked_normalize(kind)
        native = self._native
        if kind == "none":
            return native
        if kind not in self._scaled:
            self.require_one_plane()
            factors = normalization_factors(pixel_norms(native, kind, threads=threads))
            self._scaled[kind] = native.scaled(factors)
        return self._scaled[kind]

    @property
    def _scored(self) -> _core.Dataset:
        """The native handle that scorers read: with the factors of :attr:`normalize`."""
        return self._images_of(None, 0)

    def ion_images(
        self,
        mz: float | Sequence[float] | ArrayLike,
        *,
        ppm: float | None = None,
        tol: float | None = None,
        normalize: Normalize | None = None,
        threads: int = 0,
    ) -> NDArray[np.float32]:
        """Ion images of a list of m/z values, computed in one pass over the file.

        Args:
            mz: One value or a list, in any order, repeats allowed. Values outside the range of the file yield images of
                zeros.
            ppm: Half width of every window in parts per million. Pass exactly one of ``ppm`` and ``tol``.
            tol: Half width of every window in m/z units.
            normalize: ``"none"``, ``"tic"``, ``"rms"`` or ``"median"``, see :meth:`normalized`; None: as
                :attr:`normalize` of the dataset.
            threads: Worker threads, 0 = all cores. Does not affect the result.

        Returns:
            float32 (n, height, width) in the order of ``mz``. Each pixel is the sum of the intensities with
            ``mz - half <= value <= mz + half``, added in float64, multiplied by the pixel's factor and rounded once;
            NaN = not measured.

        Raises:
            ArgumentError: ``mz``, ``ppm`` or ``tol`` is out of range, or the file holds several z planes (use
                ``ds.plane(z)``).
            FileError: A spectrum cannot be read.
        """
        lo, hi = mz_windows(mz, ppm=ppm, tol=tol)
        return self.window_images(lo, hi, normalize=normalize, threads=threads)

    def window_images(
        self, lo: ArrayLike, hi: ArrayLike, *, normalize: Normalize | None = None, threads: int = 0
    ) -> NDArray[np.float32]:
        """Ion images of m/z windows given by their bounds; otherwise as :meth:`ion_images`.

        Args:
            lo: Lower bounds (n,), inclusive.
            hi: Upper bounds (n,), inclusive. Windows may overlap, repeat and come in any order.
            normalize: As for :meth:`ion_images`.
            threads: Worker threads, 0 = all cores. Does not affect the result.

        Returns:
            float32 (n, height, width); NaN = not measured.

        Raises:
            ArgumentError: The bounds do not match, or the file holds several z planes (use ``ds.plane(z)``).
            FileError: A spectrum cannot be read.
        """
        self.require_one_plane()
        lower, upper = np.asarray(lo, dtype=np.float64), np.asarray(hi, dtype=np.float64)
        threads = thread_count(threads)
        return _core.bin_images(self._images_of(normalize, threads), lower, upper, threads=threads)

    def mean_spectrum(
        self, *, ppm: float | None = None, threads: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean of all spectra.

        Args:
            ppm: For processed files, half width of the bins in parts per million; the bins are equally wide in ln(m/z).
                None chooses the width from the data: two standard deviations of a peak's position for centroids, half
                the sample spacing for profiles.
            threads: Worker threads, 0 = all cores. Does not affect the result.

        Returns:
            ``(mz, intensity)``, both float64 (n,): the shared axis of a continuous file or the non-empty bins of a
            processed one.

        Raises:
            ArgumentError: ``ppm`` is not finite and positive, or ``threads`` is negative.
            FileError: A spectrum cannot be read.
        """
        width = None if ppm is None else 2.0 * positive("ppm", ppm)
        return _core.mean_spectrum(self._native, bin_width_ppm=width, threads=thread_count(threads))

    def tic_image(self, *, threads: int = 0) -> NDArray[np.float32]:
        """Total ion current: the sum of all intensities in each pixel.

        Args:
            threads: Worker threads, 0 = all cores. Does not affect the result.

        Returns:
            float32 (height, width); NaN = not measured.

        Raises:
            ArgumentError: The file holds several z planes (use ``ds.plane(z)``), or ``threads`` is negative.
            FileError: A spectrum cannot be read.
        """
        self.require_one_plane()
        return _core.tic_image(self._native, threads=thread_count(threads))

    def require_one_plane(
        self, remedy: str = "select one with ds.plane(z)", *, error: type[IonMorphNetError] = ArgumentError
    ) -> None:
        """Checks that the dataset has a single image plane.

        Args:
            remedy: End of the error message, what to do instead.
            error: Type of the exception.

        Raises:
            ArgumentError: The file holds several z planes.
        """
        try:
            self._native.require_one_z(remedy)
        except ArgumentError as refused:
            raise error(str(refused)) from None
