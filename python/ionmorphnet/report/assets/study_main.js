async function start() {
  const packed = typeof DecompressionStream === 'function';
  byId('old-browser').hidden = packed;
  const tic = packed && payload.tic.data ? await inflated(payload.tic.data) : null;
  const coverage = packed && payload.coverage ? await inflated(payload.coverage) : null;
  let revealChannel = () => {};
  let revealSection = () => {};
  const toSection = (k) => revealSection(k);
  drawPicks(byId('picks-plot'), toSection);
  drawScores(byId('scores-plot'), toSection);
  if (channels && byId('drift-plot')) drawDrift(byId('drift-plot'), toSection);
  if (coverage && channels.mz.length) {
    if (byId('coverage-map')) drawCoverage(byId('coverage-map'), coverage, (c) => revealChannel(c));
    revealChannel = makeChannels(coverage);
  }
  revealSection = makeSections(tic);
  document.documentElement.dataset.ready = 'yes';
  // Unpacked while nothing else is to do, so that printing finds all images.
  for (const channel of imageOf.keys()) await channelLevels(channel);
  document.documentElement.dataset.unpacked = 'yes';
}
start();
