// The common channels with their images across the sections.
const { channels } = payload;
const classes = new Map(payload.classes.map((c) => [c.name, c]));

function makeChannels(coverage) {
  const C = channels.mz.length, CHUNK = 30, SIDE = 84;
  const host = byId('channel-list');
  const end = element('div', { 'aria-hidden': 'true' });
  const isRelative = (c) => Boolean(channels.relatives?.[c].length);
  const state = { common: false };
  let shown = [], rows = [], rendered = 0;

  const orders = { score: 'score', mz: 'm/z', n_present: 'sections that have it', n_picked: 'sections that picked it', spread_ppm: 'spread, largest first' };
  if (channels.name?.some(Boolean)) orders.name = 'name';
  byId('channel-order').append(...Object.entries(orders).map(([value, text]) => element('option', { value }, text)));
  byId('channel-class').append(element('option', { value: '' }, 'all'),
    ...payload.classes.map((c) => element('option', { value: c.name }, className(c.name))));
  byId('channel-class').parentNode.hidden = !payload.classes.length;
  byId('relatives-label').hidden = !channels.relatives?.some((r) => r.length);

  const wordOf = (k, c) => (channels.covered[k] ? ['absent', 'present', 'picked'][coverage[k * C + c]] : 'not in the consensus');
  const commonUpper = (c) => Math.max(0, ...payload.pictures.upper[imageOf.get(c)].filter(finite));
  const gainOf = (c, k) => {
    if (!state.common) return 1;
    const most = commonUpper(c);
    return most > 0 ? payload.pictures.upper[imageOf.get(c)][k] / most : 1;
  };
  const pictured = () => shown.filter((k) => payload.pictures.places[k]);

  function strip(c) {
    const node = element('div', { class: 'strip', role: 'group', 'aria-label': `Images of m/z ${mzText(channels.mz[c])}. Left and right arrows move, Enter enlarges.` });
    // The height is known before the images are drawn, so that nothing jumps.
    const places = pictured().map((k) => payload.pictures.places[k]);
    const tallest = Math.max(12, ...places.map((place) => fitted(place, SIDE).height));
    node.style.minHeight = `${tallest + 30}px`;
    whenNear(node, async () => {
      const levels = unpacked.get(c) || await channelLevels(c);
      node.replaceChildren(...pictured().map((k, i) => {
        const place = payload.pictures.places[k];
        const button = element('button', { type: 'button', class: wordOf(k, c), tabindex: i ? '-1' : '0', 'data-section': k,
          'aria-label': `${sections.name[k]}: ${wordOf(k, c)}`, title: `${sections.name[k]}: ${wordOf(k, c)}`,
          style: { width: `${Math.max(46, fitted(place, SIDE).width + 6)}px` }, onclick: () => viewer.show(c, k) },
          tile(levels, place, SIDE, null, gainOf(c, k)), element('span', { class: 'caption' }, element('bdi', { dir: 'ltr' }, sections.name[k])));
        return button;
      }));
    });
    node.addEventListener('keydown', (event) => {
      const buttons = [...node.children], now = buttons.indexOf(document.activeElement);
      const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (next === undefined || !buttons[next]) return;
      event.preventDefault();
      buttons[now]?.setAttribute('tabindex', '-1');
      buttons[next].setAttribute('tabindex', '0');
      buttons[next].focus();
    });
    return node;
  }

  function relativesOf(c) {
    const found = channels.relatives?.[c] || [];
    if (!found.length) return null;
    return element('p', { class: 'relatives' }, `Probably ${found.slice(0, 3).map(([relation, lighter, r]) =>
      `${relation} of m/z ${mzText(channels.mz[lighter])} (images correlate ${fixed(r, 2)})`).join(', or ')}.`);
  }

  function card(c) {
    const total = channels.covered.filter(Boolean).length, label = channels.label[c];
    const part = (name, ...text) => element('span', {}, element('span', { class: 'soft' }, `${name} `), ...text);
    const body = [element('header', {},
      element('h3', { title: `window ${mzText(channels.mz_lo[c])} – ${mzText(channels.mz_hi[c])}` }, `m/z ${mzText(channels.mz[c])}`),
      channels.name?.[c] ? element('span', { class: 'name' }, channels.name[c]) : null,
      part('score', scoreText(channels.score[c])),
      part('in', `${channels.n_present[c]} (${(channels.share_present[c] * 100).toFixed(0)}%)`),
      part('picked in', `${channels.n_picked[c]} (${(channels.share_picked[c] * 100).toFixed(0)}%)`,
        element('span', { class: 'share', 'aria-hidden': 'true' }, ...[channels.share_present[c], channels.share_picked[c]].map((s) => element('i', { style: { width: `${s * 100}%` } })))),
      label === null ? null : element('span', { class: 'label', title: classes.get(label).meaning || null },
        element('i', { class: 'swatch', style: { background: classes.get(label).colour } }), `${className(label)}, ${((channels.votes[c] || 0) * 100).toFixed(0)}% of the votes`),
      finite(channels.spread_ppm[c]) ? part('spread', `${fixed(channels.spread_ppm[c], 2)} ppm`) : null,
      part('window', `${mzText(channels.mz_lo[c])} – ${mzText(channels.mz_hi[c])}`)),
    relativesOf(c)];
    if (imageOf.has(c) && pictured().length) {
      const images = strip(c);
      const toggle = element('button', { type: 'button', 'aria-expanded': 'false', onclick: () => {
        const open = images.classList.toggle('open');
        toggle.setAttribute('aria-expanded', String(open));
        toggle.textContent = open ? 'One row' : 'All side by side';
      } }, 'All side by side');
      body.push(images, element('div', { class: 'strip-foot' }, pictured().length > 4 ? toggle : null,
        element('span', { class: 'soft scale-text' }, scaleText(c))));
    }
    return element('article', { class: 'channel', 'data-channel': c }, ...body);
  }
  const scaleText = (c) => (state.common ? `0 to ${intensityText(commonUpper(c))} in all sections` : '');

  function searched() {
    const text = byId('channel-find').value.trim().toLowerCase(), value = Number(text.replace(',', '.'));
    if (!text) return () => true;
    if (!Number.isFinite(value)) return (c) => Boolean(channels.name?.[c]?.toLowerCase().includes(text));
    // As exact as it was typed: 524.3 finds all from 524.25 to 524.35.
    const half = 0.5 * 10 ** -(text.split(/[.,]/)[1] || '').length;
    return (c) => Math.abs(channels.mz[c] - value) <= half || (channels.mz_lo[c] <= value && value <= channels.mz_hi[c]);
  }

  function update() {
    const least = byId('channel-share').valueAsNumber / 100 || 0, wanted = byId('channel-class').value, hide = byId('channel-relatives').checked;
    const fits = searched(), by = byId('channel-order').value, values = channels[by];
    rows = [...Array(C).keys()].filter((c) => channels.share_present[c] >= least && (!wanted || channels.label[c] === wanted) && !(hide && isRelative(c)) && fits(c));
    rows.sort((a, b) => {
      if (by === 'name') return (!values[a] - !values[b]) || values[a].localeCompare(values[b]) || a - b;
      return (by === 'mz' ? values[a] - values[b] : (values[b] ?? -1) - (values[a] ?? -1)) || a - b;
    });
    byId('channels-shown').textContent = rows.length === C ? `all ${count(C)} shown` : `${count(rows.length)} of ${count(C)} shown`;
    byId('no-channel').hidden = rows.length > 0;
    byId('channel-clear').hidden = !byId('channel-find').value.trim() && !least && !wanted && !hide;
    rendered = 0;
    host.replaceChildren(end);
    more();
  }

  function more(until = rendered + CHUNK) {
    end.before(...rows.slice(rendered, until).map(card));
    rendered = Math.min(Math.max(until, rendered), rows.length);
    ahead.unobserve(end);
    if (rendered < rows.length) ahead.observe(end);
  }
  const ahead = new IntersectionObserver((entries) => { if (entries.some((e) => e.isIntersecting)) more(); }, { rootMargin: '800px' });

  function clear() {
    byId('channel-find').value = byId('channel-class').value = '';
    byId('channel-share').value = 0;
    byId('channel-relatives').checked = false;
    update();
  }

  const viewer = makeChannelViewer(byId('viewer'), pictured, () => rows.filter((c) => imageOf.has(c)), wordOf, gainOf, (c, k) => {
    host.querySelector(`[data-channel="${c}"] [data-section="${k}"]`)?.focus();
  });
  for (const id of ['channel-order', 'channel-share', 'channel-class', 'channel-relatives', 'channel-find']) byId(id).addEventListener('input', update);
  byId('channel-clear').addEventListener('click', () => { clear(); byId('channel-find').focus(); });
  for (const radio of document.getElementsByName('scale')) radio.addEventListener('change', () => { state.common = radio.value === 'common'; update(); });
  listeners.push((given) => { shown = given; update(); });
  addEventListener('beforeprint', () => { more(rows.length); for (const node of [...waiting.keys()]) if (host.contains(node)) drawWaiting(node); });

  // Scrolls to a channel and marks it briefly; clears the filters if they hide it.
  return (c) => {
    if (!rows.includes(c)) clear();
    const at = rows.indexOf(c);
    if (at >= rendered) more(at + CHUNK);
    const node = host.querySelector(`[data-channel="${c}"]`);
    node.scrollIntoView({ block: 'center' });
    node.classList.add('found');
    setTimeout(() => node.classList.remove('found'), 2500);
  };
}

// An image enlarged: left and right step through the sections, up and down through the channels.
function makeChannelViewer(dialog, sectionOrder, channelOrder, wordOf, gainOf, leave) {
  let c = -1, k = -1;
  function draw(levels) {
    const place = payload.pictures.places[k], [width, height] = place;
    const order = sectionOrder(), others = channelOrder(), at = order.indexOf(k), up = others.indexOf(c);
    const side = Math.max(120, Math.min(innerWidth - 80, innerHeight - 200, 12 * Math.max(width, height)));
    const upper = payload.pictures.upper[imageOf.get(c)][k];
    const move = (text, key, target) => element('button', { type: 'button', disabled: target === null, 'aria-keyshortcuts': key, title: `${key.replace('Arrow', '')} arrow key`, onclick: () => show(...target) }, text);
    const buttons = [
      move('← Section', 'ArrowLeft', at > 0 ? [c, order[at - 1]] : null), move('Section →', 'ArrowRight', at + 1 < order.length ? [c, order[at + 1]] : null),
      move('↑ Channel', 'ArrowUp', up > 0 ? [others[up - 1], k] : null), move('Channel ↓', 'ArrowDown', up + 1 < others.length ? [others[up + 1], k] : null),
      element('button', { type: 'button', onclick: () => dialog.close() }, 'Close')];
    const focused = [...dialog.querySelectorAll('button')].indexOf(document.activeElement);
    const gain = gainOf(c, k);
    dialog.replaceChildren(
      element('div', { class: 'viewer-head' }, element('h2', { 'aria-live': 'polite' }, `m/z ${mzText(channels.mz[c])}, ${sections.name[k]}`), ...buttons),
      element('div', { class: 'viewer-body' },
        element('div', { class: 'stage' },
          tile(levels, place, side, `Ion image of m/z ${mzText(channels.mz[c])} in ${sections.name[k]}`, gain),
          element('div', { class: 'ramp' }, '0', element('i'), `${intensityText(gain > 0 ? upper / gain : upper)} and above`)),
        element('dl', { class: 'facts side' },
          element('dt', {}, 'section'), element('dd', {}, nameCell(k), ` (${wordOf(k, c)})`),
          ...sections.columns.flatMap(([name, values]) => (values[k] === '' ? [] : [element('dt', {}, name), element('dd', {}, values[k])])),
          ...(channels.name?.[c] ? [element('dt', {}, 'name'), element('dd', {}, channels.name[c])] : []),
          element('dt', {}, 'score'), element('dd', {}, `${scoreText(channels.score[c])} over all sections`),
          element('dt', {}, 'drift here'), element('dd', {}, `${signed(driftAt(k, channels.mz[c]), 2)} ppm`),
          element('dt', {}, 'picture'), element('dd', {}, `${width} × ${height} pixels`))));
    (buttons[focused] && !buttons[focused].disabled ? buttons[focused] : buttons[4]).focus();
  }
  async function show(channel, section) {
    const levels = unpacked.get(channel) || await channelLevels(channel);
    [c, k] = [channel, section];
    draw(levels);
    if (!dialog.open) dialog.showModal();
  }
  dialog.addEventListener('keydown', (event) => {
    const order = sectionOrder(), others = channelOrder(), at = order.indexOf(k), up = others.indexOf(c);
    const next = { ArrowLeft: [c, order[at - 1]], ArrowRight: [c, order[at + 1]], ArrowUp: [others[up - 1], k], ArrowDown: [others[up + 1], k] }[event.key];
    if (!next) return;
    event.preventDefault();
    if (next[0] !== undefined && next[1] !== undefined) show(...next);
  });
  dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener('close', () => leave(c, k));
  return { show };
}
