import type { Format } from './formats/format.ts';
import type { LoadedConfig } from './load.ts';
import { hideCredentials } from './problem.ts';
import { type NamedSetting, settings } from './schema.ts';

const START = '<!-- reference:start -->';
const END = '<!-- reference:end -->';

/** The reference of all settings: a Markdown table for each section. */
export function renderReference(): string {
  const sections = [...new Set(settings.map(({ section }) => section))];
  return sections.map(section => renderSection(section)).join('\n\n');
}

function renderSection(section: string): string {
  const rows = settings.filter(setting => setting.section === section).map(renderRow);
  const head = ['| Setting | Variable | Default | Meaning | Reloadable |', '| --- | --- | --- | --- | --- |'];
  return [`### ${section}`, '', ...head, ...rows].join('\n');
}

function renderRow(setting: NamedSetting): string {
  const { name, env, doc, format, reloadable } = setting;
  const secret = setting.sensitive ? ' A secret: never shown.' : '';
  const meaning = `${doc}${secret} Write ${format.expected}.`;
  const cells = [`\`${name}\``, `\`${env}\``, renderDefault(setting), meaning, reloadable ? 'yes' : 'no'];
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function renderDefault(setting: NamedSetting): string {
  if (setting.required) return '(required)';
  const text = setting.format.print(setting.default);
  return text === '' ? '(empty)' : `\`${text}\``;
}

/** Puts the reference between the markers of a document. @throws Error where it has none */
export function updateReference(document: string): string {
  return replaceBetweenMarkers(document, renderReference());
}

/**
 * Puts what is generated between the markers of a document.
 *
 * @throws Error where the document has no markers
 */
export function replaceBetweenMarkers(document: string, generated: string): string {
  const start = document.indexOf(START);
  const end = document.indexOf(END);
  if (start < 0 || end < start) throw new Error(`the document has no ${START} followed by ${END}`);
  return `${document.slice(0, start + START.length)}\n\n${generated}\n\n${document.slice(end)}`;
}

/** Whether the reference in a document is not the one that the settings give now. */
export function isReferenceStale(document: string): boolean {
  return updateReference(document) !== document;
}

/** A setting as `config print` shows it. */
export interface EffectiveSetting {
  readonly name: string;
  readonly env: string;
  /** The value as it could be written, `***` for a secret, and without credentials inside URLs. */
  readonly value: string;
  /** `default`, `file:path:line`, `secret:path` or `env:NAME`. */
  readonly source: string;
  readonly reloadable: boolean;
}

/** The effective settings, in the order of the reference and fit to be shown to anyone. */
export function renderEffective(loaded: Pick<LoadedConfig, 'settings'>): EffectiveSetting[] {
  const formats = new Map(settings.map(({ name, format }) => [name, format]));
  return loaded.settings.map(({ name, env, value, source, sensitive, reloadable }) => {
    return { name, env, value: show(formats.get(name), value, sensitive), source, reloadable };
  });
}

function show(format: Format<unknown> | undefined, value: unknown, sensitive: boolean): string {
  if (format?.show) return format.show(value);
  const text = format?.print(value) ?? '';
  return sensitive && text !== '' ? '***' : hideCredentials(text);
}
