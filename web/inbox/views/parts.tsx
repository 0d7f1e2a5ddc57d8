import type { PartInfo } from '../../../src/inbox/contract.ts';
import { bytes } from '../../shared/format.ts';
import { Icon } from '../../shared/icon.tsx';

interface PartsProps {
  readonly id: string;
  readonly parts: readonly PartInfo[];
}

/** The files of a message, to be opened. */
export function Attachments({ id, parts }: PartsProps) {
  const files = parts.filter(({ role }) => role === 'attachment');
  if (files.length === 0) return null;
  return (
    <ul class="attachments" aria-label="Attachments">
      {files.map(part => (
        <li key={part.path}>
          <a class="button" href={pathOf(id, part)} target="_blank" rel="noreferrer">
            <Icon name="clip" />
            {nameOf(part)}
            <span class="soft">{bytes(part.size)}</span>
          </a>
        </li>
      ))}
    </ul>
  );
}

/** The MIME tree. */
export function Parts({ id, parts }: PartsProps) {
  if (parts.length === 0) return <p class="nothing">The message is not kept as it was received any more.</p>;
  return (
    <table class="parts">
      <thead>
        <tr>
          <th>Part</th>
          <th>Type</th>
          <th>Encoding</th>
          <th>Size</th>
          <th>
            <span class="unseen">Content</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {parts.map(part => (
          <tr key={part.path}>
            <th scope="row" style={{ paddingLeft: `${12 + part.depth * 18}px` }}>
              {part.path || 'whole'}
            </th>
            <td>
              <code>{part.contentType}</code>
              {part.charset && <span class="soft"> {part.charset}</span>}
              {(part.filename || part.contentId) && (
                <div class="soft">
                  {[part.filename, part.contentId && `cid:${part.contentId}`].filter(Boolean).join(' · ')}
                </div>
              )}
            </td>
            <td>{part.encoding || '–'}</td>
            <td class="number">{part.role === 'multipart' ? '' : bytes(part.size)}</td>
            <td>
              {part.role === 'multipart' ? (
                ''
              ) : (
                <a href={pathOf(id, part)} target="_blank" rel="noreferrer" aria-label={`Open part ${part.path}`}>
                  open
                </a>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function pathOf(id: string, { path }: PartInfo): string {
  return `/api/messages/${id}/parts/${path}`;
}

function nameOf({ filename, contentType, path }: PartInfo): string {
  return filename ?? `part ${path} (${contentType})`;
}
