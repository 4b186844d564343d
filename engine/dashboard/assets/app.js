// Starts what the page is made of.
import { flow, page } from './dom.js';
import { listen } from './live.js';
import { stand, steer } from './steer.js';

const module = page === 'missing' ? null : await import(`./${page}.js`);
const handlers = (await module?.start()) || {};
if (flow) {
  steer();
  listen({ ...handlers, metrics(m) { stand(m); handlers.metrics?.(m); } });
}
document.querySelector('.bar [aria-current]')?.scrollIntoView({ inline: 'center', block: 'nearest' });
document.body.dataset.started = '';
