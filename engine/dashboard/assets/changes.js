// What became of changes, with the difference that each made.
import { $, api, ask, h, moment, ms } from './dom.js';
import { diff } from './diff.js';
import { outcome, receipt, versions } from './receipt.js';

async function load() {
  const [receipts, files] = await Promise.all([ask(api('/receipts')), ask(api('/versions'))]);
  const texts = new Map(files.map((f) => [f.version, f.source]));
  const open = new Set([...document.querySelectorAll('#history details[open]')].map((d) => d.dataset.id));
  if (!receipts.length) return;
  $('#history').replaceChildren(...receipts.toReversed().map((r) => h('li', {}, h('details', { 'data-id': r.id, open: open.has(r.id) },
    h('summary', {}, h('time', { datetime: r.at, title: r.at }, moment(r.at)), h('b', { class: r.outcome === 'rejected' || r.outcome === 'rolled_back' ? 'bad' : '' }, outcome(r)), h('span', {}, 'from ' + (r.from || '?')),
      h('code', {}, versions(r)), r.outcome === 'applied' ? h('span', { class: 'hint' }, 'paused ' + ms(r.paused_ms)) : null),
    receipt(r), changed(r, texts)))));
}

function changed(r, texts) {
  const before = texts.get(r.version_before), after = texts.get(r.version_after);
  const out = h('div', {});
  if (before == null || after == null) {
    if (r.version_before && r.version_before !== r.version_after) out.append(h('p', { class: 'hint' }, 'The texts of these versions are not kept any more.'));
    return out;
  }
  if (r.version_before === r.version_after) return out;
  const lines = diff(before, after);
  out.append(lines.length ? h('div', { class: 'diff' }, lines) : h('p', { class: 'hint' }, 'The file is the same; params were changed.'));
  if (lines.length) out.append(h('p', {}, h('a', { href: `file?version=${encodeURIComponent(r.version_before)}` }, 'Open the version before this change in the editor')));
  return out;
}

export async function start() {
  await load();
  return { receipt: load, reopened: load };
}
