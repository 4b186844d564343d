// The editor of the flow file.
import { $, api, ask, h, keepFocus, readOnly, sendText, setText, settled, short } from './dom.js';
import { differences, problemText, receipt } from './receipt.js';
import { diff } from './diff.js';

const text = () => $('#source').value;
let running = '', version = '', found = [];

/** A line as spans: keys, texts, comments and references. */
function colour(line) {
  const parts = /^(\s*(?:- )*)([\w.-]+|"[^"]*")(:)(?=\s|$)/.exec(line);
  const out = [];
  let rest = line;
  if (parts) { out.push(parts[1], h('span', { class: 'y-key' }, parts[2]), parts[3]); rest = line.slice(parts[0].length); }
  const token = /("(?:[^"\\]|\\.)*"|'[^']*')|(\$\{[^}]*\})|((?:^|\s)#.*$)/g;
  let at = 0;
  for (const m of rest.matchAll(token)) {
    out.push(rest.slice(at, m.index), h('span', { class: m[3] ? 'y-comment' : m[2] ? 'y-ref' : 'y-text' }, m[0]));
    at = m.index + m[0].length;
  }
  out.push(rest.slice(at));
  return out;
}

function draw() {
  const lines = text().split('\n');
  $('.gutter').replaceChildren(...lines.flatMap((_, i) => {
    const here = found.filter((d) => d.line === i + 1);
    const mark = here.some((d) => d.severity === 'error') ? 'bad' : here.length ? 'warn' : '';
    return [h('span', { class: mark }, String(i + 1)), '\n'];
  }));
  $('.backdrop').replaceChildren(...lines.flatMap((line, i) => {
    const here = found.find((d) => d.line === i + 1);
    if (!here) return [...colour(line), '\n'];
    const at = [...line].slice(0, here.column - 1).join('').length;
    const end = at + (/^[^\s,}\]]*/.exec(line.slice(at))[0].length || 1);
    return [...colour(line.slice(0, at)), h('span', { class: 'squiggle' + (here.severity === 'error' ? '' : ' warn') }, line.slice(at, end) || ' '), ...colour(line.slice(end)), '\n'];
  }));
  scroll();
}

function scroll() {
  const t = $('#source');
  $('.backdrop').scrollTop = t.scrollTop; $('.backdrop').scrollLeft = t.scrollLeft; $('.gutter').scrollTop = t.scrollTop;
}

/** Puts the cursor where a problem is. */
function go(d) {
  const lines = text().split('\n').slice(0, d.line - 1);
  const at = lines.reduce((n, l) => n + l.length + 1, 0) + Math.max(0, d.column - 1);
  const t = $('#source');
  t.focus(); t.setSelectionRange(at, at);
  t.scrollTop = Math.max(0, (d.line - 5) * 20);
}

function tell(ok, words) {
  const v = $('#verdict');
  v.dataset.ok = ok; setText(v, words);
}

function show(plan) {
  found = plan.diagnostics || [];
  $('#problems').replaceChildren(...(found.length ? found.map((d) => h('li', { class: d.severity },
    d.line ? h('button', { type: 'button', onclick: () => go(d) }, `${d.line}:${d.column}`) : null, d.message, d.advice ? h('span', { class: 'advice' }, d.advice) : null))
    : [h('li', { class: 'empty' }, 'None.')]));
  const same = text() === running;
  const table = !same && plan.version_after ? differences(plan.sources, plan.stages) : null;
  $('#plan').replaceChildren(table || h('p', { class: 'empty' }, same ? 'Nothing changes.' : plan.version_after ? 'No source and no state is touched.' : 'It cannot run.'));
  const errors = found.filter((d) => d.severity === 'error').length;
  if (same) tell('', 'This is what runs.');
  else if (!plan.ok) tell('false', `It would be rejected: ${errors} ${errors === 1 ? 'problem' : 'problems'}.`);
  else tell('true', `It can be applied, as version ${short(plan.version_after)}.`);
  $('#apply').disabled = readOnly || same || !plan.ok;
  $('#revert').disabled = same;
}

async function check() {
  const asked = text();
  const lines = diff(running, asked);
  $('#diff').replaceChildren(...(lines.length ? lines : [h('p', { class: 'empty' }, 'None.')]));
  try {
    const plan = await sendText(api('/file/plan'), asked);
    if (asked === text()) { show(plan); draw(); }
  } catch (e) { tell('false', e.message); }
}

async function load() {
  const file = await ask(api('/file'));
  running = file.source; version = file.version;
  setText($('#version'), short(version));
  setText($('#origin'), file.from_file ? '' : ' · not what the file on disk says');
}

async function apply() {
  $('#apply').disabled = true;
  try {
    const r = await sendText(api('/file?base_version=' + encodeURIComponent(version)), text(), 'PUT');
    await load();
    $('#receipt').replaceChildren(receipt(r));
    await check();
    keepFocus($('#source'));
  } catch (e) { tell('false', e.message); }
}

export async function start() {
  await load();
  const other = new URLSearchParams(location.search).get('version');
  if (other) {
    try { $('#source').value = (await ask(api('/file?version=' + encodeURIComponent(other)))).source; } catch (e) { tell('false', e.message); }
  } else if ($('#source').value === $('#source').defaultValue) $('#source').value = running; // nobody has typed yet
  const later = settled(check, 250);
  $('#source').addEventListener('input', () => { draw(); $('#apply').disabled = true; later(); });
  $('#source').addEventListener('scroll', scroll);
  $('#apply').addEventListener('click', apply);
  $('#revert').addEventListener('click', () => { $('#source').value = running; draw(); check(); $('#source').focus(); });
  addEventListener('beforeunload', (e) => { if (text() !== running) e.preventDefault(); });
  draw();
  await check();
  const follow = async () => {
    const untouched = text() === running;
    await load();
    if (untouched) $('#source').value = running;
    draw(); check();
  };
  return {
    reopened: follow,
    async receipt(r) {
      await follow();
      $('#receipt').replaceChildren(receipt(r));
    },
  };
}
