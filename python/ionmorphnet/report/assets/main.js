let find = null, reveal = null;
if (payload.histogram) drawHistogram(byId('histogram'), payload.histogram);
if (payload.spectrum) reveal = drawSpectrum(byId('spectrum'), payload.spectrum, payload.table.mz, (row) => find?.(row));
if (payload.table.rank.length) find = makePicks(reveal);
const tic = byId('tic');
tic.decode().then(() => tic.classList.toggle('shrunk', tic.naturalWidth > tic.clientWidth));
