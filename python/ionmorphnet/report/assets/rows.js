// One pick as a card or a table row, and the parts shared with the viewer.
const classes = new Map(payload.classes.map((c) => [c.name, c]));
// What the given m/z list calls the compound; empty without one.
const nameOf = (row) => payload.names?.[row] ?? '';
const labelOf = (row) => (payload.table.label ? payload.table.label[row] : null);

function windowText(row) {
  const low = payload.table.mz_lo?.[row] ?? null, high = payload.table.mz_hi?.[row] ?? null;
  return low === null || high === null ? '–' : `${mzText(low)} – ${mzText(high)}`;
}

function frequencyText(row) {
  const value = payload.table.frequency[row];
  if (typeof value !== 'number') return '–';
  return value <= 1 ? `${(value * 100).toFixed(value < 0.1 ? 1 : 0)}%` : count(value);
}

// The expected grade, 0 to 3; null where the scorer does not estimate it.
const hasStructure = Boolean(payload.table.structure?.some((grade) => grade !== null));
const structureText = (row) => (typeof payload.table.structure[row] === 'number' ? payload.table.structure[row].toFixed(2) : '–');

function labelMark(row) {
  const name = labelOf(row);
  if (name === null) return element('span', { class: 'label soft' }, '–');
  const known = classes.get(name);
  return element('span', { class: 'label', title: known.meaning || null },
    element('i', { class: 'swatch', style: { background: known.colour } }), className(name));
}

// Smoothed only where the browser has to shrink it; enlarged pixels keep their edges.
const pictureImage = (row, width) => element('img', {
  src: `data:image/png;base64,${payload.pictures[row].png}`, decoding: 'async', class: width < payload.geometry.width ? 'shrunk' : null,
  alt: `Ion image of m/z ${mzText(payload.table.mz[row])}`,
});

function scaleBar() {
  const { bar } = payload.geometry;
  return bar && element('span', { class: 'scale-bar', style: { width: `${bar.fraction * 100}%` } }, element('span', {}, bar.text));
}

function openButton(row, width, open) {
  const style = { width: `${width}px`, maxWidth: '100%' };
  const inside = payload.pictures[row]
    ? element('div', { class: 'picture', style: { ...style, aspectRatio: String(payload.geometry.ratio) } }, pictureImage(row, width))
    : element('div', { class: 'missing', style: { ...style, height: '34px' } }, 'no image');
  return element('button', { type: 'button', class: 'open', 'aria-label': `Enlarge m/z ${mzText(payload.table.mz[row])}`, onclick: () => open(row) }, inside);
}

const probabilitiesOf = (row) => payload.probabilities
  .map((column) => ({ column, name: column.slice(2), value: payload.table[column][row] }))
  .filter((p) => p.value !== null);
const colourOf = (name) => classes.get(name).colour;
const probabilityText = (parts) => parts.map((p) => `${className(p.name)} ${p.value.toFixed(2)}`).join(', ');

function stackedBar(row) {
  const parts = probabilitiesOf(row);
  if (!parts.length) return null;
  return element('div', { class: 'stack', role: 'img', title: probabilityText(parts), 'aria-label': `Probabilities: ${probabilityText(parts)}` },
    ...parts.map((p) => element('i', { style: { width: `${p.value * 100}%`, background: colourOf(p.name) } })));
}

function columnBars(row) {
  const parts = probabilitiesOf(row);
  if (!parts.length) return element('span', { class: 'soft' }, '–');
  return element('span', { class: 'columns', role: 'img', title: probabilityText(parts), 'aria-label': `Probabilities: ${probabilityText(parts)}` },
    ...parts.map((p) => element('i', { style: { height: `${p.value * 100}%`, background: colourOf(p.name) } })));
}

function probabilityTable(row) {
  const parts = probabilitiesOf(row);
  if (!parts.length) return null;
  return element('table', { class: 'probabilities' }, element('tbody', {}, ...parts.map((p) =>
    element('tr', { title: classes.get(p.name).meaning || null },
      element('th', { scope: 'row' }, element('i', { class: 'swatch', style: { background: colourOf(p.name) } }), className(p.name)),
      element('td', { class: 'number' }, p.value.toFixed(3)),
      element('td', { class: 'bars' }, element('span', { style: { width: `${p.value * 100}%`, background: colourOf(p.name) } }))))));
}

function card(row, width, open) {
  const { table } = payload;
  return element('article', { class: 'card', 'data-row': row }, openButton(row, width, open),
    element('div', { class: 'line' },
      element('span', { class: 'mz', title: `m/z window ${windowText(row)}` }, `m/z ${mzText(table.mz[row])}`),
      element('span', { class: 'rank' }, `#${table.rank[row]}`)),
    nameOf(row) ? element('div', { class: 'line name', title: nameOf(row) }, nameOf(row)) : null,
    element('div', { class: 'line' },
      labelOf(row) === null ? null : labelMark(row),
      element('span', { title: hasStructure ? `structure ${structureText(row)} of 3` : null },
        element('span', { class: 'soft' }, 'score '), scoreText(table.score[row]))),
    stackedBar(row));
}

// Columns of the list: heading, what it is ordered by, and the cell.
function listColumns(width, open, scoreShare) {
  const { table } = payload;
  const columns = [
    { name: 'image', cell: (row) => openButton(row, width, open) },
    { name: 'rank', by: 'rank', number: true, cell: (row) => String(table.rank[row]) },
    { name: 'm/z', by: 'mz', number: true, cell: (row) => element('span', {}, mzText(table.mz[row]),
      element('span', { class: 'soft window', title: 'm/z window' }, windowText(row))) },
    { name: 'score', by: 'score', number: true, cell: (row) => element('span', {}, scoreText(table.score[row]),
      element('span', { class: 'scorebar' }, element('i', { style: { width: `${scoreShare(row) * 100}%` } }))) },
  ];
  if (payload.names) columns.push({ name: 'name', by: 'name', cell: (row) => element('span', { class: 'name', title: nameOf(row) }, nameOf(row)) });
  if (hasStructure) columns.push({ name: 'structure', by: 'structure', number: true,
    cell: (row) => element('span', { title: 'expected grade, 0 to 3' }, structureText(row)) });
  if (payload.table.label?.some((label) => label !== null)) columns.push({ name: 'class', by: 'label', cell: labelMark });
  if (payload.probabilities.length) columns.push({ name: 'probabilities', cell: columnBars });
  if (table.frequency) columns.push({ name: 'frequency', by: 'frequency', number: true, cell: frequencyText });
  return columns;
}
