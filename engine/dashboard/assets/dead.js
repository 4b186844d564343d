// Dead letters: why each died, and sending it again.
import { $, $$, api, ask, count, flow, h, keepFocus, moment, post, readOnly, setText } from './dom.js';

const step = 200, most = 999; // letters; an answer has one more, to know whether there are
let limit = step, full = false, counted = false, failed = false;
let looking = null, once = false;
const chosen = () => $$('#dead tbody input:checked').map((e) => e.value);

/** Replays letters; what then dies again comes back. */
async function replay(request) {
  $('#replay').disabled = true;
  tell('');
  try {
    const r = await post(api('/dead/replay'), request);
    tell(`${count(r.done)} sent again${r.repeats ? `, ${count(r.repeats)} were repeats` : ''}.`);
    for (const e of $$('#dead tbody input:checked')) e.checked = false;
  } catch (e) { tell(e.message, true); }
  await load();
  keepFocus($('#refresh'));
}

function tell(text, bad = false) {
  const el = $('#dead-result');
  el.className = bad ? 'problem' : 'hint';
  setText(el, text);
}

function row(l, key) {
  const payload = l.payload ?? `base64: ${l.payload_base64 ?? ''}`;
  const place = [l.source, l.file, l.line != null ? `line ${l.line}` : null].filter(Boolean).join(' ');
  return h('tr', { 'data-key': key },
    readOnly ? null : h('td', {}, h('input', { type: 'checkbox', value: l.id, 'aria-label': `choose the letter of ${moment(l.time)}`, onchange: tally })),
    h('td', { class: 'when', title: l.time }, moment(l.time)), h('td', {}, l.stage), h('td', { class: 'why' }, l.reason),
    h('td', {}, place), h('td', { class: 'n' }, count(l.attempts)), h('td', { class: 'mono' }, payload.slice(0, 2000)));
}

/** Shows letters. Rows that stay are left alone, with what is chosen in them
    and where the page is scrolled to. */
function show(letters) {
  const body = $('#dead tbody'), old = new Map($$('tr', body).map((tr) => [tr.dataset.key, tr])), seen = new Map();
  const rows = letters.map((l) => {
    const n = seen.get(l.id) || 0; // a letter that was written twice has one id
    seen.set(l.id, n + 1);
    const key = `${l.id} ${n}`;
    return old.get(key) || row(l, key);
  });
  const stay = new Set(rows);
  for (const tr of old.values()) if (!stay.has(tr)) tr.remove();
  rows.forEach((tr, i) => { if (body.children[i] !== tr) body.insertBefore(tr, body.children[i] || null); });
}

function tally() {
  const n = chosen().length, boxes = $$('#dead tbody input');
  if (!$('#replay')) return;
  $('#replay').disabled = !n;
  setText($('#replay'), n ? `Replay ${count(n)}` : 'Replay chosen');
  $('#all').checked = n > 0 && n === boxes.length;
  $('#all').indeterminate = n > 0 && n < boxes.length;
}

/** Looks, and once more when that was asked for meanwhile: one look at a time,
    so that who is impatient gets an answer. */
function load() {
  once = true;
  looking ??= (async () => {
    while (once) { once = false; await look(); }
    looking = null;
  })();
  return looking;
}

async function look() {
  const q = new URLSearchParams({ limit: limit + 1 });
  for (const e of $$('#dead-filter [name]')) if (e.value.trim()) q.set(e.name, e.value.trim());
  try {
    const list = await ask(api('/dead?' + q));
    const letters = list.letters.slice(0, limit), filtered = q.size > 1;
    full = list.letters.length > limit; counted = !!list.counted; failed = false;
    show(letters);
    setText($('#dead-note'), !letters.length ? (filtered ? 'None are like that.' : 'None are kept.') : full ? `The oldest ${count(letters.length)}` : `${count(letters.length)}, the oldest first`);
    setText($('#dead-notes'), (list.notes || []).join(' '));
    $('#dead').hidden = !letters.length;
    $('#more').hidden = !full || limit >= most;
    $('#dead-new').hidden = true;
  } catch (e) { failed = true; setText($('#dead-note'), e.message); }
  tally();
}

/** Says when to look again: as the number of dead letters changes ("more" of
    them, or else), and behind the commits that follow, since letters are
    written with one. */
function watch() {
  let dead, commits, left = 0;
  return (f) => {
    const more = f.dead > dead, changed = f.dead !== dead, committed = f.commits !== commits;
    dead = f.dead; commits = f.commits;
    if (changed) left = 5; // more than there are epochs under way
    else if (committed && left > 0) left--;
    else return '';
    return more ? 'more' : 'look';
  };
}

export async function start() {
  const again = watch();
  let ticks = 0;
  $('#refresh').addEventListener('click', load);
  $('#more').addEventListener('click', () => { limit = Math.min(limit + step, most); load(); });
  $('#dead-filter').addEventListener('submit', (e) => { e.preventDefault(); limit = step; load(); });
  $('#replay')?.addEventListener('click', () => replay({ ids: chosen() }));
  $('#all')?.addEventListener('change', (e) => { for (const box of $$('#dead tbody input')) box.checked = e.target.checked; tally(); });
  await load();
  return {
    reopened: () => { if (!counted || !$('#dead tbody tr')) load(); },
    async metrics(m) {
      const f = m.flows.find((one) => one.name === flow);
      const why = f && (again(f) || (failed && ++ticks % 5 === 0 ? 'look' : ''));
      if (!why || full) return; // of many, the oldest stay the same
      // A queue counts how often a letter is looked at: only a person looks at
      // one a second time.
      if (counted && $('#dead tbody tr')) { if (why === 'more') $('#dead-new').hidden = false; return; }
      await load();
    },
  };
}
