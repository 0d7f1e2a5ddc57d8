import type { SimpleContent } from '../mailbox.ts';
import { firstFault } from './refused.ts';

/** SES API v2 reference, "Message": `Headers`, array members: minimum 0, maximum 15. */
const MAX_HEADERS = 15;
/** SES API v2 reference, "MessageHeader", Name: 1 to 126 of `^[!-9;-@A-~]+$`. */
const NAME = /^[!-9;-@A-~]{1,126}$/;
/** The same, Value: 1 to 870 of `[ -~]*`. (Its model in the SDKs says 995; the smaller number is the safe one.) */
const VALUE = /^[ -~]{1,870}$/;
/**
 * "If you use the Amazon SES API v2 SendEmail operation with either Simple or Templated content […] you cannot set custom
 * header content for headers that are set by SES" (SES developer guide, "header fields").
 */
const SET_BY_SES = new Set([
  'bcc',
  'cc',
  'content-disposition',
  'content-type',
  'date',
  'from',
  'message-id',
  'mime-version',
  'reply-to',
  'return-path',
  'subject',
  'to',
]);

/** What SES says is wrong with `Content.Simple`; null where it takes it. */
export function simpleFault(message: SimpleContent): string | null {
  const { Headers = [], Subject, Body } = message;
  return firstFault([
    // SES API v2 reference, "Message": Subject and Body are required, and Data in each content.
    () => (typeof Subject?.Data === 'string' ? null : 'Missing required parameter Subject.'),
    () => (Body?.Text?.Data || Body?.Html?.Data ? null : 'Either Html or Text body must be given.'),
    () => (Headers.length > MAX_HEADERS ? `Headers: more than ${MAX_HEADERS} members.` : null),
    ...Headers.map(header => () => headerFault(header.Name, header.Value)),
    () => duplicateFault(Headers.map(({ Name }) => Name)),
  ]);
}

function headerFault(name: string, value: string): string | null {
  if (!NAME.test(name)) return `Invalid header name '${name}'.`;
  if (SET_BY_SES.has(name.toLowerCase())) return `Header '${name}' is set by SES and cannot be customized.`;
  if (!VALUE.test(value)) return `Invalid value of header '${name}': ${value.length} characters.`;
  return null;
}

/** "Header fields": what may stand once in a message may here, too, and a custom header has one value. */
function duplicateFault(names: readonly string[]): string | null {
  const seen = new Set<string>();
  const twice = names.find(name => seen.has(name.toLowerCase()) || !seen.add(name.toLowerCase()));
  return twice === undefined ? null : `Duplicate header '${twice}'.`;
}
