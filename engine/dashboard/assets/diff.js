// The difference between two texts, line by line.
import { h } from './dom.js';

/** Lists lines as [sign, text]: ' ', '+' or '-'. The longest common
    subsequence, behind equal beginnings and ends. */
export function compare(before, after) {
  const a = before.split('\n'), b = after.split('\n');
  let from = 0, end = 0;
  while (from < a.length && from < b.length && a[from] === b[from]) from++;
  while (end < a.length - from && end < b.length - from && a.at(-1 - end) === b.at(-1 - end)) end++;
  const x = a.slice(from, a.length - end), y = b.slice(from, b.length - end);
  const out = a.slice(0, from).map((l) => [' ', l]);
  if (x.length * y.length > 4e6) out.push(...x.map((l) => ['-', l]), ...y.map((l) => ['+', l])); // not worth the table
  else out.push(...middle(x, y));
  return out.concat(a.slice(a.length - end).map((l) => [' ', l]));
}

function middle(x, y) {
  const w = y.length + 1, best = new Uint32Array((x.length + 1) * w);
  for (let i = x.length - 1; i >= 0; i--) for (let j = y.length - 1; j >= 0; j--) {
    best[i * w + j] = x[i] === y[j] ? best[(i + 1) * w + j + 1] + 1 : Math.max(best[(i + 1) * w + j], best[i * w + j + 1]);
  }
  const out = [];
  let i = 0, j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) { out.push([' ', x[i]]); i++; j++; }
    else if (i < x.length && (j === y.length || best[(i + 1) * w + j] >= best[i * w + j + 1])) out.push(['-', x[i++]]);
    else out.push(['+', y[j++]]);
  }
  return out;
}

/** Elements for what differs, with a few lines around it. */
export function diff(before, after, around = 2) {
  const lines = compare(before, after);
  const near = lines.map((_, i) => lines.slice(Math.max(0, i - around), i + around + 1).some(([s]) => s !== ' '));
  const out = [];
  lines.forEach(([sign, text], i) => {
    if (near[i]) out.push(h('div', { class: sign === '+' ? 'add' : sign === '-' ? 'del' : '' }, `${sign} ${text}`));
    else if (i && near[i - 1]) out.push(h('div', { class: 'gap' }, '…'));
  });
  return out;
}
