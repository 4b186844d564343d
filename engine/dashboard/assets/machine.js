import { $, bytes, count, h, setText } from './dom.js';

/** Shows what the machine does, where a page has a place for it. */
export function showMachine(m) {
  const cores = $('#cores');
  if (!cores) return;
  if (cores.children.length !== m.cpu.length) {
    cores.replaceChildren(...m.cpu.map((_, i) => h('div', { class: 'core' }, `CPU ${i}`, h('meter', { min: 0, max: 1, 'aria-label': `CPU ${i}` }), h('span'))));
  }
  m.cpu.forEach((share, i) => {
    cores.children[i].querySelector('meter').value = share;
    setText(cores.children[i].querySelector('span'), Math.round(share * 100) + ' %');
  });
  setText($('#process-cpu'), `${m.process.toFixed(2)} cores`);
  setText($('#memory'), bytes(m.memory));
  setText($('#heap'), bytes(m.heap));
  setText($('#goroutines'), count(m.goroutines));
}
