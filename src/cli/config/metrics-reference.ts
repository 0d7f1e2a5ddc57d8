import { replaceBetweenMarkers } from '../../config/reference.ts';
import { listMetrics, type MetricDescription } from './metrics-catalogue.ts';

/** The reference of all metrics: a Markdown table for each part. */
export function renderMetrics(): string {
  const head = ['| Metric | Type | Labels | Meaning |', '| --- | --- | --- | --- |'];
  const sections = listMetrics().map(({ title, roles, metrics }) =>
    [`### ${title}`, '', `In: ${roles}.`, '', ...head, ...metrics.map(renderRow)].join('\n'),
  );
  return sections.join('\n\n');
}

/** Puts the reference between the markers of a document. @throws Error where it has none */
export function updateMetrics(document: string): string {
  return replaceBetweenMarkers(document, renderMetrics());
}

function renderRow({ name, type, labels, help }: MetricDescription): string {
  const cells = [`\`${name}\``, type, labels.map(label => `\`${label}\``).join(', '), `${help.replace(/\.$/, '')}.`];
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
