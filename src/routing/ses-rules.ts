import type { HeaderField } from '../message/header/fields.ts';
import { goesOut, unreadableAddresses } from '../message/header/sent-fields.ts';
import type { MendingFacts } from '../message/mending/mend.ts';
import type { ContentFields } from '../message/mime/content-fields.ts';
import { contentRefusal, Refusal } from '../message/refusal.ts';

/** The message as SES gets it: the client's, less the fields that do not go out. */
export interface SesContent {
  /** The client's header, in its order. */
  readonly fields: readonly HeaderField[];
  readonly contentFields: ContentFields;
  /** How it is mended on its way out, where it has to be. */
  readonly mending?: MendingFacts | undefined;
  /** Whether the client's signatures do not go out. */
  readonly unsigned?: boolean;
}

/** What SES refuses for good, so that it is refused before the 250. */
export interface SesRule {
  readonly source: string;
  readonly check: (content: SesContent) => Refusal | null;
  /** Whether it holds for a message that OpenSend's worker makes anew, too. */
  readonly ofRebuilt?: true;
}

const ONCE = new Set(
  `accept-language acceptlanguage archived-at auto-submitted bounces-to comments content-alternative content-base
  content-class content-description content-disposition content-duration content-id content-language content-length
  content-location content-md5 content-transfer-encoding content-type date delivered-to disposition-notification-options
  disposition-notification-to dkim-signature domainkey-signature errors-to from importance in-reply-to keywords list-archive
  list-help list-id list-owner list-post list-subscribe list-unsubscribe list-unsubscribe-post message-context message-id
  mime-version organization original-from original-message-id original-recipient original-subject precedence priority
  references reply-to return-path return-receipt-to sender solicitation sensitivity subject thread-index thread-topic
  user-agent vbr-info`.split(/\s+/),
);
const ONCE_BY_RFC_5322 = new Set(['to', 'cc']);
/** Names of files that SES does not carry end with a dot and one of these. */
const UNSUPPORTED = new Set(
  `ade adp app asp bas bat cer chm cmd com cpl crt csh der exe fxp gadget hlp hta inf ins isp its js jse ksh lib lnk mad
  maf mag mam maq mar mas mat mau mav maw mda mdb mde mdt mdw mdz msc msh msh1 msh2 mshxml msh1xml msh2xml msi msp mst ops
  pcd pif plg prf prg reg scf scr sct shb shs sys ps1 ps1xml ps2 ps2xml psc1 psc2 tmp url vb vbe vbs vps vsmacros vss vst
  vsw vxd ws wsc wsf wsh xnk`.split(/\s+/),
);

/** Sizes, lines and local parts are in `config/transports/`; From and Sender are read by `message/addresses/originators.ts`. */
export const SES_RULES: readonly SesRule[] = [
  { source: 'SES developer guide, "header fields"', check: ({ fields, unsigned }) => twice(fields, ONCE, unsigned) },
  { source: 'RFC 5322 section 3.6', check: ({ fields }) => twice(fields, ONCE_BY_RFC_5322) },
  { source: 'SES API v2 reference, "Destination"', check: ({ fields }) => unreadable(fields) },
  {
    source: 'SES API v2 reference, "RawMessage"',
    check: ({ contentFields, mending }) => unreadableContent(contentFields, mending),
  },
  {
    source: 'SES developer guide, "unsupported attachment types"',
    check: ({ contentFields }) => unsupported(contentFields.fileNames),
    ofRebuilt: true,
  },
];

/** The first rule's refusal that the message breaks; null where SES takes it. @param sentAsReceived else it is made anew */
export function refuseForSes(content: SesContent, sentAsReceived: boolean): Refusal | null {
  for (const rule of SES_RULES) {
    const refusal = sentAsReceived || rule.ofRebuilt ? rule.check(content) : null;
    if (refusal) return refusal;
  }
  return null;
}

function twice(fields: readonly HeaderField[], once: ReadonlySet<string>, unsigned?: boolean): Refusal | null {
  const seen = new Set<string>();
  for (const field of fields) {
    const name = field.name.toLowerCase();
    if (!once.has(name) || !goesOut(name, unsigned)) continue;
    if (seen.has(name)) {
      const text = `Header ${field.name} is there twice, and Amazon SES takes one: send it once`;
      return new Refusal({ code: 550, enhancedCode: '5.6.0', text, rule: 'header_twice' });
    }
    seen.add(name);
  }
  return null;
}

function unreadable(fields: readonly HeaderField[]): Refusal | null {
  for (const { name, value } of fields) {
    const why = unreadableAddresses(name.toLowerCase(), value);
    if (why !== null) return contentRefusal('address_syntax', `Header ${name} cannot be read (${why}): mend it`);
  }
  return null;
}

/** What could not be mended is signed, or longer than a line. */
function unreadableContent({ unreadable: name, mendable = 0 }: ContentFields, mending?: MendingFacts): Refusal | null {
  if (name !== null && (mending === undefined || mending.types < mendable)) return notOfForm(name);
  return mending !== undefined && mending.sealedEmpty > 0 ? withoutParts() : null;
}

function notOfForm(name: string): Refusal {
  const text = `A ${name} header is not of the form "value; name=value" (RFC 2045), which Amazon SES refuses: quote its values`;
  return contentRefusal('content_field_syntax', text);
}

function withoutParts(): Refusal {
  const text =
    'A multipart has no parts, or not at the boundary that its Content-Type names, and is signed, so that it cannot be mended for Amazon SES: mend the client';
  return contentRefusal('empty_multipart', text);
}

function unsupported(fileNames: readonly string[]): Refusal | null {
  for (const name of fileNames) {
    const [, extension = ''] = /\.([^.]*)$/.exec(name.trimEnd()) ?? [];
    if (!UNSUPPORTED.has(extension.toLowerCase())) continue;
    return contentRefusal(
      'attachment_type',
      `Amazon SES carries no .${extension} files: send it in an archive or a link`,
    );
  }
  return null;
}
