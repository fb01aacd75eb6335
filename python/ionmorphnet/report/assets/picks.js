// The picks: filter, order, gallery and list, export.
function makePicks(reveal) {
  const { table, geometry } = payload;
  const total = table.rank.length, CHUNK = 120;
  const scores = table.score.filter((s) => s !== null);
  const lowest = Math.min(...scores), highest = Math.max(...scores);
  const hasLabels = Boolean(table.label?.some((label) => label !== null));
  const state = { view: 'gallery', by: 'rank', down: false, least: null, hidden: new Set() };
  let rows = [], rendered = 0;
  const container = byId('rows');
  const end = element('div', { 'aria-hidden': 'true' });
  const viewer = makeViewer(byId('viewer'), () => rows, reveal);
  viewer.onclose((row) => { if (rows.includes(row)) { ensure(row); nodeOf(row)?.querySelector('.open').focus(); } });
  // Cards as wide as a whole number of screen pixels per picture pixel, if that comes near 220; wide sections are
  // shrunk to 300.
  const fit = Math.min(240, 240 * geometry.ratio), whole = geometry.width * Math.max(1, Math.floor(fit / geometry.width));
  const cardWidth = geometry.width > 300 ? Math.min(300, 220 * geometry.ratio)
    : whole >= 0.7 * fit ? Math.min(whole, 300) : fit;
  const listWidth = Math.min(120, 60 * geometry.ratio);
  const nodeOf = (row) => container.querySelector(`[data-row="${row}"]`);
  const share = (row) => (table.score[row] === null ? 0 : highest > 0 ? Math.max(table.score[row], 0) / Math.max(highest, lowest >= 0 && highest <= 1 ? 1 : highest) : 0);

  const orders = { 'rank-up': 'rank', 'mz-up': 'm/z, lowest first', 'mz-down': 'm/z, highest first', 'score-down': 'score, highest first', 'score-up': 'score, lowest first' };
  if (hasLabels) orders['label-up'] = 'class';
  if (hasStructure) orders['structure-down'] = 'structure, highest first';
  if (payload.names) orders['name-up'] = 'name';
  if (table.frequency) orders['frequency-down'] = 'frequency, highest first';
  byId('order').append(...Object.entries(orders).map(([value, text]) => element('option', { value }, text)));

  function compare(a, b) {
    const values = state.by === 'name' ? payload.names : table[state.by], u = values[a], v = values[b];
    // Missing values stay at the end in both directions.
    if (u === null || v === null) return (u === null) - (v === null) || a - b;
    const sign = typeof u === 'string' ? u.localeCompare(v) : u - v;
    return (state.down ? -sign : sign) || a - b;
  }

  // Bounds of the m/z filter, null without one; a filter that makes no sense is named and not applied.
  function searched() {
    const input = byId('search'), width = byId('window'), text = input.value.trim().replace(',', '.');
    const centre = Number(text), window = width.valueAsNumber;
    const wrong = { search: text !== '' && !(centre > 0 && Number.isFinite(centre)), window: text !== '' && !(window >= 0) };
    for (const [id, bad] of Object.entries(wrong)) {
      byId(id).classList.toggle('wrong', bad);
      byId(id).setAttribute('aria-invalid', String(bad));
    }
    byId('search-error').textContent = wrong.search ? 'Not an m/z value; filter not applied'
      : wrong.window ? 'The window must be 0 or more; filter not applied' : '';
    if (text === '' || wrong.search || wrong.window) return null;
    const half = byId('unit').value === 'ppm' ? centre * window * 1e-6 : window;
    return [centre - half, centre + half];
  }

  function update() {
    const range = searched();
    rows = [...Array(total).keys()].filter((row) =>
      (state.least === null || (table.score[row] !== null && table.score[row] >= state.least)) &&
      !state.hidden.has(labelOf(row)) &&
      (!range || (table.mz[row] !== null && table.mz[row] >= range[0] && table.mz[row] <= range[1])));
    rows.sort(compare);
    byId('shown').textContent = rows.length === total ? `all ${count(total)} shown` : `${count(rows.length)} of ${count(total)} shown`;
    byId('nothing').hidden = rows.length > 0;
    byId('clear').hidden = state.least === null && !state.hidden.size && byId('search').value.trim() === '';
    byId('copy').disabled = byId('download').disabled = rows.length === 0;
    const chosen = `${state.by}-${state.down ? 'down' : 'up'}`;
    byId('order').value = chosen in orders ? chosen : '';
    redraw();
  }

  function redraw() {
    rendered = 0;
    if (state.view === 'gallery') {
      container.replaceChildren(element('div', { class: 'gallery' }), end);
      container.firstChild.style.setProperty('--thumb', `${cardWidth}px`);
    } else {
      const columns = listColumns(listWidth, viewer.show, share);
      const heads = columns.map((c) => element('th', { scope: 'col', class: c.number ? 'number' : null,
        'aria-sort': c.by === state.by ? (state.down ? 'descending' : 'ascending') : null },
        c.by ? element('button', { type: 'button', onclick: () => orderBy(c.by) }, c.name + (c.by === state.by ? (state.down ? ' ↓' : ' ↑') : '')) : c.name));
      container.replaceChildren(element('div', { class: 'scroller' },
        element('table', { class: 'list' }, element('thead', {}, element('tr', {}, ...heads)), element('tbody'))), end);
    }
    more();
  }

  function more(until = rendered + CHUNK) {
    const next = rows.slice(rendered, until);
    rendered += next.length;
    if (state.view === 'gallery') {
      container.firstChild.append(...next.map((row) => card(row, cardWidth, viewer.show)));
    } else {
      const columns = listColumns(listWidth, viewer.show, share);
      container.querySelector('tbody').append(...next.map((row) => element('tr', { 'data-row': row },
        ...columns.map((c) => element('td', { class: c.number ? 'number' : null }, c.cell(row))))));
    }
    // An observer reports changes only. Observing again makes it report if the end is still in view.
    observer.unobserve(end);
    if (rendered < rows.length) observer.observe(end);
  }

  function ensure(row) {
    const at = rows.indexOf(row);
    if (at >= rendered) more(at + CHUNK);
  }

  function orderBy(by, down = state.by === by ? !state.down : ['score', 'structure', 'frequency'].includes(by)) {
    Object.assign(state, { by, down });
    update();
    container.querySelector('[aria-sort] button')?.focus({ preventScroll: true });
  }

  function clear() {
    state.least = null;
    state.hidden.clear();
    byId('least').value = 0;
    byId('search').value = '';
    byId('window').value = byId('window').defaultValue;
    for (const box of byId('chips').querySelectorAll('input')) box.checked = true;
    leastShown();
    update();
  }

  const leastShown = () => { byId('least-value').textContent = scores.length ? scoreText(state.least ?? lowest) : ''; };

  function chips() {
    const numbers = new Map();
    for (let row = 0; row < total; row++) numbers.set(labelOf(row), (numbers.get(labelOf(row)) || 0) + 1);
    const names = [...payload.classes.map((c) => c.name), null].filter((name) => numbers.has(name));
    byId('chips').append(...names.map((name) => element('label', { title: classes.get(name)?.meaning || null },
      element('input', { type: 'checkbox', checked: true, onchange: (event) => {
        if (event.target.checked) state.hidden.delete(name); else state.hidden.add(name);
        update();
      } }),
      name === null ? null : element('i', { class: 'swatch', style: { background: colourOf(name) } }),
      name === null ? 'no class' : className(name), element('b', {}, count(numbers.get(name))))));
  }

  function csv() {
    const names = Object.keys(table);
    const cell = (value) => (value === null ? '' : /[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
    return [names.map(cell), ...rows.map((row) => names.map((name) => cell(table[name][row])))].map((line) => line.join(',')).join('\r\n') + '\r\n';
  }

  function download() {
    const link = element('a', { href: URL.createObjectURL(new Blob([csv()], { type: 'text/csv;charset=utf-8' })),
      download: `${payload.name.replace(/\.imzml$/i, '').replace(/[\\/:*?"<>|\p{Cc}]+/gu, '_')}_picks.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  async function copy() {
    const text = rows.map((row) => table.mz[row]).filter((mz) => mz !== null).join('\n');
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Some browsers deny the clipboard to local files but still allow execCommand.
      const area = element('textarea', { class: 'hidden' });
      area.value = text;
      document.body.append(area);
      area.select();
      done = document.execCommand('copy');
      area.remove();
    }
    const button = byId('copy'), before = 'Copy m/z list';
    button.textContent = done ? `${count(rows.length)} m/z copied` : 'Copying was blocked';
    setTimeout(() => { button.textContent = before; }, 1800);
  }

  const observer = new IntersectionObserver((entries) => { if (entries.some((e) => e.isIntersecting)) more(); }, { rootMargin: '800px' });
  for (const radio of document.getElementsByName('view'))
    radio.addEventListener('change', () => { state.view = radio.value; redraw(); });
  byId('order').addEventListener('change', (event) => { const [by, way] = event.target.value.split('-'); orderBy(by, way === 'down'); event.target.focus(); });
  byId('least').addEventListener('input', (event) => {
    const part = event.target.value / 1000;
    state.least = part === 0 ? null : lowest + part * (highest - lowest);
    leastShown();
    update();
  });
  byId('least-label').hidden = !(scores.length && highest > lowest);
  for (const id of ['search', 'window', 'unit']) byId(id).addEventListener('input', update);
  byId('clear').addEventListener('click', clear);
  byId('copy').addEventListener('click', copy);
  byId('download').addEventListener('click', download);
  // Paper does not scroll: every card with a picture is drawn before printing.
  addEventListener('beforeprint', () => more(Math.max(rendered, payload.pictures.length)));
  if (hasLabels) chips();
  leastShown();
  update();

  // Scrolls to a pick and highlights it briefly; clears the filters if they hide it.
  return (row) => {
    if (!rows.includes(row)) clear();
    ensure(row);
    const node = nodeOf(row);
    node.scrollIntoView({ block: 'center' });
    node.querySelector('.open').focus({ preventScroll: true });
    node.classList.add('found');
    setTimeout(() => node.classList.remove('found'), 2500);
  };
}
