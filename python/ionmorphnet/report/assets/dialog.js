// Enlarged view of one pick. `order()` returns the rows to step through; `reveal(row)` shows one in the spectrum (may be null).
function makeViewer(dialog, order, reveal) {
  let row = -1;
  const { table, geometry } = payload;

  function stage() {
    const picture = payload.pictures[row];
    const widest = Math.max(Math.min(innerWidth - 70, 1160 - (innerWidth > 820 ? 300 : 0)), 120);
    const tallest = Math.max(innerHeight - 200, 120);
    // Whole-number zoom where it fits, so that all pixels have the same size.
    const natural = geometry.width, scale = Math.min(widest / natural, (tallest * geometry.ratio) / natural);
    const width = natural * (scale >= 1 ? Math.floor(scale) : scale);
    const style = { width: `${width}px`, maxWidth: '100%', aspectRatio: String(geometry.ratio) };
    if (!picture) return element('div', { class: 'missing', style }, 'no image in this report');
    return element('div', {},
      element('div', { class: 'picture', style }, pictureImage(row, width), scaleBar()),
      element('div', { class: 'ramp' }, '0', element('i'), `${intensityText(picture.upper)} and above`));
  }

  function draw() {
    const rows = order(), at = rows.indexOf(row);
    const step = (by, text, key) => element('button', { type: 'button', disabled: rows[at + by] === undefined,
      'aria-keyshortcuts': key, title: `${key.replace('Arrow', '')} arrow key`, onclick: () => show(rows[at + by]) }, text);
    const entries = [['rank', `${table.rank[row]} (${at + 1} of ${count(rows.length)} shown)`], ['score', scoreText(table.score[row])],
      ['m/z window', windowText(row)]];
    if (nameOf(row)) entries.push(['name', nameOf(row)]);
    if (labelOf(row) !== null) entries.push(['class', labelMark(row)]);
    if (hasStructure) entries.push(['structure', `${structureText(row)} of 3`]);
    if (table.frequency) entries.push(['frequency', frequencyText(row)]);
    const focused = dialog.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    const buttons = [step(-1, '← Previous', 'ArrowLeft'), step(1, 'Next →', 'ArrowRight'),
      reveal && element('button', { type: 'button', onclick: () => { dialog.close(); reveal(row); } }, 'Show in spectrum'),
      element('button', { type: 'button', onclick: () => dialog.close() }, 'Close')].filter(Boolean);
    buttons.forEach((button, i) => { button.dataset.name = String(i); });
    dialog.replaceChildren(
      element('div', { class: 'viewer-head' }, element('h2', { 'aria-live': 'polite' }, `m/z ${mzText(table.mz[row])}`), ...buttons),
      element('div', { class: 'viewer-body' },
        element('div', { class: 'stage' }, stage()),
        element('div', { class: 'side' },
          element('dl', { class: 'facts' }, ...entries.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)])),
          probabilityTable(row))));
    const again = focused === null ? null : buttons[Number(focused)];
    (again && !again.disabled ? again : buttons[buttons.length - 1]).focus();
  }

  function show(next) {
    if (next === undefined) return;
    row = next;
    draw();
    if (!dialog.open) dialog.showModal();
  }

  dialog.addEventListener('keydown', (event) => {
    const rows = order(), at = rows.indexOf(row);
    const next = { ArrowLeft: rows[at - 1], ArrowRight: rows[at + 1], Home: rows[0], End: rows[rows.length - 1] }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    show(next);
  });
  dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener('resize', () => { if (dialog.open) draw(); });
  return { show, onclose: (call) => dialog.addEventListener('close', () => call(row)) };
}
