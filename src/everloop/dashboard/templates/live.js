'use strict';
// All text goes through textContent: names, inputs and labels came from anybody.
const $ = id => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg', MOST_LINES = 8;
let points = [], number = 0, every = 2, failed = 0;

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'href') made.href = value; else made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined).map(c => c instanceof Node ? c : seen(String(c))));
  return made;
}
function svg(tag, attributes = {}, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
// Characters that turn the direction of writing would turn what stands beside them.
const seen = text => text.replace(/[\u202a-\u202e\u2066-\u2069]/g, one => `\\u${one.charCodeAt(0).toString(16)}`);
const fill = (id, ...children) => $(id).replaceChildren(...children);
const none = text => el('div', {class: 'none'}, text);
const colour = place => `var(--c${place % 8})`;
const pill = (text, kind = '') => el('span', {class: `pill ${kind}`}, text);
const link = (text, parameters, path = 'predictions/history') => el('a', {href: `${path}?${new URLSearchParams(parameters)}`}, text);
const short = n => n === null || n === undefined ? '–' : Math.abs(n) >= 1e9 ? (n / 1e9).toPrecision(3) + ' G'
  : Math.abs(n) >= 1e6 ? (n / 1e6).toPrecision(3) + ' M' : Math.abs(n) >= 1e4 ? Math.round(n / 1e3) + ' k'
  : Math.abs(n) >= 100 ? String(Math.round(n)) : Number(n.toPrecision(3)).toString();
const bytes = n => short(n).replace(/(\d)$/, '$1 ') + 'B';
const percent = n => n === null || n === undefined ? '–' : `${n < 0.1 && n > 0 ? (100 * n).toPrecision(2) : Math.round(100 * n)} %`;
const day = text => new Date(text).toLocaleDateString([], {day: 'numeric', month: 'short'});
function clock(seconds) {  // of another day with its date
  const at = new Date(seconds * 1000), time = at.toLocaleTimeString([], {hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false});
  return at.toDateString() === new Date().toDateString() ? time : `${day(at)} ${time}`;
}
function duration(seconds) {
  for (const [size, name] of [[86400, 'd'], [3600, 'h'], [60, 'min']]) if (seconds >= 2 * size) return `${Math.round(seconds / size)} ${name}`;
  return `${Math.round(seconds)} s`;
}
const ago = (text, now) => text ? `${duration(Math.max(0, (new Date(now) - new Date(text)) / 1000))} ago` : '–';

// One chart: lines {name, values: [[x, y or null] …]}; x in seconds. Several gaps may interrupt a line.
function chart(where, lines, {from, to, most = 0, mark = null, least = 0, label = clock, gap = Infinity, dots = false} = {}) {
  const shown = lines.slice(0, MOST_LINES), ys = shown.flatMap(l => l.values.map(v => v[1])).filter(y => y !== null && isFinite(y));
  if (!ys.length) { where.replaceChildren(none('nothing yet')); return; }
  const W = Math.max(240, Math.round(where.clientWidth || 560)), H = W < 330 ? 110 : 150, right = 6, top = 6, bottom = 18;
  const [low, high, step] = scale(Math.min(least, ...ys, mark ?? Infinity), Math.max(most, ...ys, mark ?? -Infinity));
  const ticks = [];
  for (let y = low; y <= high + step / 2; y += step) ticks.push([y, short(Math.abs(y) < step / 1e6 ? 0 : y)]);
  const left = Math.max(40, 10 + 7 * Math.max(...ticks.map(tick => tick[1].length)));
  const X = x => left + (W - left - right) * (x - from) / (to - from || 1), Y = y => H - bottom - (H - top - bottom) * (y - low) / (high - low);
  const root = svg('svg', {viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': shown.map(l => l.name).join(', ')});
  for (const [y, words] of ticks) {
    root.append(svg('line', {x1: left, x2: W - right, y1: Y(y), y2: Y(y), class: 'grid'}));
    root.append(svg('text', {x: left - 5, y: Y(y) + 4, 'text-anchor': 'end'}, words));
  }
  for (const [share, anchor] of to > from ? [[0, 'start'], [0.5, 'middle'], [1, 'end']] : [[0, 'start']])
    root.append(svg('text', {x: left + (W - left - right) * share, y: H - 4, 'text-anchor': anchor}, label(from + (to - from) * share)));
  if (mark !== null) root.append(svg('line', {x1: left, x2: W - right, y1: Y(mark), y2: Y(mark), class: 'mark'}));
  shown.forEach((line, place) => {
    let path = '', last = null, alone = [];
    for (const [x, y] of line.values) {
      if (y === null || !isFinite(y)) { last = null; continue; }
      const joined = last !== null && x - last <= gap;
      path += `${joined ? 'L' : 'M'}${X(x).toFixed(1)} ${Y(y).toFixed(1)}`;
      if (dots || !joined) alone.push([x, y]);
      last = x;
    }
    root.append(svg('path', {d: path, fill: 'none', stroke: colour(place), 'stroke-width': 1.8, 'stroke-linejoin': 'round'}));
    for (const [x, y] of alone) root.append(svg('circle', {cx: X(x), cy: Y(y), r: dots ? 2.6 : 1.2, fill: colour(place)}));
  });
  const legend = el('div', {class: 'legend'}), hair = svg('line', {y1: top, y2: H - bottom, class: 'mark', visibility: 'hidden'});
  root.append(hair);
  const tell = x => {
    const parts = shown.map((line, place) => {
      const box = el('i'); box.style.background = colour(place);
      const at = x === null ? line.values[line.values.length - 1] : line.values.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a, line.values[0]);
      return el('span', {}, box, line.name, ' ', el('b', {}, at ? short(at[1]) : '–'));
    });
    if (lines.length > MOST_LINES) parts.push(el('span', {class: 'soft'}, `and ${lines.length - MOST_LINES} more`));
    if (x !== null) parts.push(el('span', {class: 'soft'}, label(x)));
    legend.replaceChildren(...parts);
  };
  root.addEventListener('pointermove', event => {
    const box = root.getBoundingClientRect(), x = from + (to - from) * ((event.clientX - box.left) * W / box.width - left) / (W - left - right);
    hair.setAttribute('x1', X(x)); hair.setAttribute('x2', X(x)); hair.setAttribute('visibility', x >= from && x <= to ? 'visible' : 'hidden'); tell(Math.min(to, Math.max(from, x)));
  });
  root.addEventListener('pointerleave', () => { hair.setAttribute('visibility', 'hidden'); tell(null); });
  tell(null);
  where.replaceChildren(root, legend);
}
function scale(low, high) {  // round bounds and step of an axis
  if (high <= low) { const room = Math.abs(high) / 10 || 1; high += room; if (low !== 0) low -= room; }
  const rough = (high - low) / 3, size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(n => n * size).find(n => n >= rough);
  return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step, step];
}

// The points of the chosen time in at most some 150 buckets, so that a line can be read.
function buckets(span) {
  const end = points.length ? points[points.length - 1].at : 0, shown = points.filter(p => p.at > end - span);
  const size = Math.max(every, Math.ceil(span / 150 / every) * every), found = [];
  for (const p of shown) {
    const slot = Math.floor(p.at / size), last = found[found.length - 1];
    if (last && last.slot === slot) last.points.push(p); else found.push({slot, points: [p]});
  }
  return {end, size, found: found.map(b => ({at: b.points[b.points.length - 1].at, points: b.points, seconds: b.points.reduce((s, p) => s + p.seconds, 0)}))};
}
function rates(found, name) {  // one line per key of the point's counts, the largest first
  const totals = {};
  for (const b of found) for (const p of b.points) for (const [key, n] of Object.entries(p[name])) totals[key] = (totals[key] || 0) + n;
  return Object.keys(totals).sort((a, b) => totals[b] - totals[a]).map(key => ({name: key || 'no model',
    values: found.map(b => [b.at, b.points.reduce((s, p) => s + (Object.hasOwn(p[name], key) ? p[name][key] : 0), 0) / b.seconds])}));
}
const worst = (found, name, read) => ({name, values: found.map(b => {
  const all = b.points.map(read).filter(v => v !== null && v !== undefined);
  return [b.at, all.length ? Math.max(...all) : null]; })});

function table(id, heads, rows, empty) {
  if (!rows.length) return fill(id, none(empty));
  const n = heads.map(h => h.startsWith('#')), cell = (tag, value, place) => {
    const [inner, kind] = Array.isArray(value) ? value : [value, ''];
    return el(tag, {class: `${n[place] ? 'n' : ''} ${kind} ${inner === '–' || inner === '' ? 'empty' : ''}`, 'data-name': heads[place].replace('#', '')}, inner);
  };
  fill(id, el('table', {}, el('thead', {}, el('tr', {}, ...heads.map((h, i) => cell('th', h.replace('#', ''), i)))),
    el('tbody', {}, ...rows.map(row => el('tr', {}, ...row.map((v, i) => cell('td', v, i)))))));
}
const tile = (value, name, kind = '') => el('div', {class: `tile ${kind}`}, el('b', {}, value), el('span', {}, name));

function draw(d) {
  const m = d.metrics, span = Number($('span').value), {end, size, found} = buckets(span);
  const axis = {from: Math.max(end - span, points.length ? points[0].at : 0), to: end, gap: 2.5 * size};
  const late = points.filter(p => p.at > end - 10), sum = (ps, name) => ps.reduce((s, p) => s + Object.values(p[name]).reduce((a, b) => a + b, 0), 0);
  const seconds = late.reduce((s, p) => s + p.seconds, 0), asked = found.reduce((s, b) => s + sum(b.points, 'requests'), 0), bad = found.reduce((s, b) => s + sum(b.points, 'errors'), 0);
  const p95 = late.map(p => p.latency[1]).filter(v => v !== null), ready = m.workers.ready, wanted = m.workers.wanted;
  $('about').textContent = `up ${duration(m.uptime_seconds)} · ${short(m.request_count)} requests, ${short(m.predictions)} predictions since then`;
  const state = $('state'), worse = d.problems.length || ready < wanted;
  state.textContent = ready === 0 ? 'no worker answers' : !d.models.some(one => one.default) ? 'no model yet' : worse ? 'with problems' : 'serving';
  state.className = `pill ${ready === 0 ? 'bad' : worse || !d.models.some(one => one.default) ? 'warn' : 'good'}`;
  const told = [...d.problems, ...d.notices];
  $('problems').hidden = !told.length;
  $('problems').querySelector('ul').replaceChildren(...told.map(text => el('li', {}, text)));
  fill('tiles', tile(short(seconds ? sum(late, 'requests') / seconds : 0), 'requests/s'), tile(p95.length ? `${short(Math.max(...p95))} ms` : '–', 'p95 latency'),
    tile(asked ? percent(bad / asked) : '–', 'errors', bad / asked > 0.05 ? 'bad' : bad ? 'warn' : ''),
    tile(`${ready}/${wanted}`, m.workers.restarts ? `workers, ${m.workers.restarts} restarts` : 'workers', ready < wanted ? 'bad' : ''),
    tile(bytes(m.log.backlog_bytes), 'log backlog', m.log.problem ? 'bad' : ''), tile(short(m.log.recorded), 'rows recorded'),
    tile(percent(m.host.cpu_percent / 100), 'CPU'), tile(percent(m.host.memory_percent / 100), 'memory', m.host.memory_percent > 95 ? 'bad' : ''),
    tile(percent(m.host.disk_percent / 100), 'disk', m.host.disk_percent > 95 ? 'bad' : ''));
  chart($('traffic'), rates(found, 'requests'), axis);
  chart($('latency'), ['p50', 'p95', 'p99'].map((name, i) => worst(found, name, p => p.latency[i])), axis);
  const errors = rates(found, 'errors');
  if (errors.length || !points.length) chart($('errors'), errors, axis); else fill('errors', none('none in this time'));
  chart($('host'), ['cpu', 'memory', 'disk'].map(name => worst(found, name, p => p[name])), {...axis, most: 100});
  chart($('backlog'), [worst(found, 'backlog', p => p.backlog / 1000)], {...axis, most: 1});
  answers(d, found, axis);
  monitors(d); versions(d); recent(d); labels(d); jobs(d); measured(d);
}
function answers(d, found, axis) {
  const means = found.map(b => { const all = b.points.map(p => p.mean).filter(v => v !== null); return [b.at, all.length ? all.reduce((a, b) => a + b, 0) / all.length : null]; });
  const numbers = means.some(v => v[1] !== null);
  $('answers-of').textContent = d.model === null ? 'predictions per second by class' : `${numbers ? 'mean predicted value' : 'predictions per second by class'} of ${d.model}`;
  if (numbers) chart($('answers'), [{name: 'mean', values: means}], {...axis, least: Infinity}); else chart($('answers'), rates(found, 'classes'), axis);
}
function monitors(d) {
  const kind = {quiet: 'good', findings: 'warn', 'cannot run': 'bad', late: 'bad'};
  const rows = (d.monitors || []).map(one => {
    const name = one.version === null ? one.model : `${one.model}@${one.version}`;
    const alerts = one.alerts.map(a => el('div', {}, pill(a.level, {critical: 'bad', warning: 'warn'}[a.level] || ''), ' ',
      el('a', {href: `alerts/${encodeURIComponent(a.alert_id)}`}, a.title), ' ', el('span', {class: 'soft'}, ago(a.opened_at, d.now))));
    if (one.more_alerts) alerts.push(el('div', {class: 'soft'}, `and ${one.more_alerts} more`));
    return [
      [one.checked_at ? link(name, {version: one.version}, `monitors/${encodeURIComponent(one.model)}/report`) : name, 'keep'],
      [pill(one.state, kind[one.state] || ''), 'keep'], one.why || '–', [el('span', {title: one.checked_at || ''}, ago(one.checked_at, d.now)), 'keep'],
      one.rows === null ? '–' : short(one.rows), [alerts.length ? el('div', {}, ...alerts) : '–', `wide ${alerts.length ? '' : 'empty'}`]];
  });
  table('monitors', ['model', 'state', 'found', 'checked', '#rows', 'open alerts'], rows, d.monitors ? 'No model yet.' : 'Not known yet.');
}
function versions(d) {
  const rows = d.models.flatMap(model => model.versions.map((v, i) => [
    i ? '' : [link(model.name, {model: model.name}), 'keep'], [link(v.version, {model: model.name, version: v.version}), 'keep'],
    v.failed ? pill('failed', 'bad') : v.serves ? pill(v.variant, 'good') : v.variant === 'version' ? pill('loaded') : pill(v.variant),
    [model.fallback === v.version ? 'fallback' : i === 0 && model.fallback === 'class shares' ? 'else class shares' : '', 'keep'],
    pill(v.route, v.route === 'onnx' ? 'good' : 'warn'), [v.failed || v.reason, 'wide'],
    short(v.count || 0), [ago(v.latest, d.now), 'keep']]));
  table('versions', ['model', 'version', 'state', '', 'route', 'why', '#predictions', '#latest'], rows, 'No model yet: train one with “everloop run”.');
}
function recent(d) {
  const rows = d.recent.map(p => [
    [el('span', {title: p.at}, clock(new Date(p.at) / 1000)), 'keep'],
    [link(`${p.model}@${p.version}`, {model: p.model, version: p.version}), 'keep'],
    typeof p.prediction === 'number' ? short(p.prediction) : link(p.prediction || '“”', {model: p.model, prediction: p.prediction}),
    p.confidence === null ? '–' : percent(p.confidence),
    p.label === null ? '–' : pill(p.label, typeof p.prediction === 'number' ? '' : p.label === p.prediction ? 'good' : 'bad'),
    p.latency_ms === null ? '–' : short(p.latency_ms),
    [Object.entries(p.inputs).map(([name, value]) => `${name} ${value}`).join(', ') + (p.more > 0 ? ` and ${p.more} more` : '') + (p.warnings.length ? ` (${p.warnings.length} warning${p.warnings.length > 1 ? 's' : ''})` : ''), 'wide'],
    link(p.request_id.length > 18 ? p.request_id.slice(0, 18) + '…' : p.request_id, {request_id: p.request_id})]);
  table('recent', ['time', 'model', 'prediction', '#confidence', 'label', '#ms', 'inputs', 'request'], rows, 'No predictions yet: POST to /predict.');
}
function labels(d) {
  const periods = (d.labels && d.model !== null && Object.hasOwn(d.labels, d.model) ? d.labels[d.model] : []).slice().reverse();
  $('labels-of').textContent = d.model === null ? '' : `how complete the true outcomes of ${d.model} are, by day`;
  table('labels', ['day', '#predictions', 'labelled', '#expected', '', '#score'], periods.map(p => {
    const bar = el('span', {class: 'bar'}, el('i')); bar.firstChild.style.width = `${100 * p.share}%`;
    return [[day(p.start), 'keep'], short(p.predictions), [el('span', {}, bar, percent(p.share)), 'keep'], percent(p.expected_share),
      p.mature ? pill('mature', 'good') : pill('waiting'), p.score === null ? '–' : `${p.metric === 'accuracy' ? percent(p.score) : short(p.score)}`];
  }), 'No predictions in the last days.');
}
function jobs(d) {
  if (d.model !== null) { $('decided').href = `decisions?${new URLSearchParams({model: d.model})}`; $('decided').textContent = `decisions and the loop of ${d.model}`; }
  table('jobs', ['model', 'state', 'why', '#asked for'], d.jobs.map(j => [[link(j.model, {model: j.model}, 'jobs'), 'keep'],
    el('a', {href: `jobs/${encodeURIComponent(j.job_id)}`}, pill(j.status, {done: 'good', failed: 'bad', running: 'warn'}[j.status] || '')),
    [(j.error ? `${j.error} ` : '') + (j.reason || '–'), 'wide'], [ago(j.created_at, d.now), 'keep']]), 'Nothing was asked for yet.');
}
function measured(d) {
  const found = d.history && d.model !== null && Object.hasOwn(d.history, d.model) ? d.history[d.model] : {metrics: {}, drift: [], drift_threshold: null};
  const all = Object.entries(found.metrics).map(([name, values]) => [name.replaceAll('_', ' '), values, null]);
  if (found.drift.length) all.unshift(['drift score', found.drift, found.drift_threshold]);
  $('history-of').textContent = d.model === null ? '' : `metrics and drift of ${d.model}, as the loop measured them`;
  if (!all.length) return fill('history', none('Nothing was measured yet.'));
  const places = all.map(([name]) => el('div', {}, el('h3', {}, name), el('div', {class: 'chart'})));
  fill('history', ...places);
  all.forEach(([name, values, mark], i) => {
    const line = values.map(v => [new Date(v.at) / 1000, v.value]), last = values[values.length - 1];
    const to = line[line.length - 1][0], far = to - line[0][0] > 172800;
    chart(places[i].lastChild, [{name: last.version ? `version ${last.version}` : 'latest', values: line}],
      {from: line[0][0], to, mark, least: mark === null ? Infinity : 0, dots: line.length < 40, label: x => far ? day(x * 1000) : clock(x)});
  });
}

function choose(d) {
  const list = $('model'), names = d.models.map(one => one.name);
  if ([...list.options].map(o => o.value).join('\n') !== names.join('\n')) list.replaceChildren(...names.map(name => { const o = el('option', {}, name); o.value = name; return o; }));
  if (d.model !== null) list.value = d.model;
}
let shown = null;
async function look(fresh = false) {
  const asked = {since: fresh ? 0 : number};
  if ($('model').value) asked.model = $('model').value;
  try {
    const answer = await fetch(`dashboard/data?${new URLSearchParams(asked)}`, {cache: 'no-store'});
    if (!answer.ok) throw new Error(`the server says ${answer.status}`);
    const d = await answer.json();
    if (fresh || d.restarted) points = [];
    const known = points.length ? points[points.length - 1].n : 0;
    points = points.concat(d.points.filter(p => p.n > known)).slice(-900);
    number = d.number; every = d.every; shown = d; failed = 0;
    choose(d); draw(d);
  } catch (error) {
    failed += 1;
    $('state').textContent = `no data: ${error.message}`; $('state').className = 'pill bad';
  }
}
$('model').addEventListener('change', () => look(true));
$('span').addEventListener('change', () => shown && draw(shown));
addEventListener('resize', () => shown && draw(shown));
async function follow() {
  if (!document.hidden) await look();
  setTimeout(follow, 1000 * every * Math.min(8, 1 + failed));
}
follow();
