/** What SES tells of a message, in the shapes of its developer guide ("Examples of event data that SES publishes"). */
export const MESSAGE_ID = '010001957f1a2b3c-5e0b7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11-000000';
export const TIMESTAMP = '2026-01-02T03:04:05.678Z';

export interface MailOptions {
  readonly messageId?: string;
  readonly emailId?: string | null;
  readonly destination?: readonly string[];
}

const RECIPIENT = 'recipient@example.com';

function mail({ messageId = MESSAGE_ID, emailId = null, destination = [RECIPIENT] }: MailOptions) {
  return {
    timestamp: '2026-01-02T03:04:00.000Z',
    messageId,
    source: 'Acme <hello@acme.test>',
    sourceArn: 'arn:aws:ses:us-east-1:123456789012:identity/acme.test',
    sendingAccountId: '123456789012',
    destination,
    headersTruncated: false,
    headers: [
      { name: 'From', value: 'Acme <hello@acme.test>' },
      { name: 'Message-ID', value: '<1@acme.test>' },
    ],
    commonHeaders: { from: ['Acme <hello@acme.test>'], to: destination, messageId, subject: 'Hello' },
    tags: {
      'ses:configuration-set': ['acme'],
      'ses:source-ip': ['192.0.2.1'],
      ...(emailId !== null && { 'smtp-relay-email-id': [emailId] }),
    },
  };
}

export const ses = {
  send: (options: MailOptions = {}) => ({ eventType: 'Send', mail: mail(options), send: {} }),

  delivery: (options: MailOptions = {}) => ({
    eventType: 'Delivery',
    mail: mail(options),
    delivery: {
      timestamp: TIMESTAMP,
      processingTimeMillis: 11893,
      recipients: options.destination ?? [RECIPIENT],
      smtpResponse: '250 2.6.0 Message received',
      remoteMtaIp: '192.0.2.25',
      reportingMTA: 'mta.example.com',
    },
  }),

  bounce: (options: MailOptions & { readonly type?: string; readonly subType?: string } = {}) => ({
    eventType: 'Bounce',
    bounce: {
      feedbackId: '010001957f1a2b3c-61b59c11-9236-11e6-8f96-7be8aexample-000000',
      bounceType: options.type ?? 'Permanent',
      bounceSubType: options.subType ?? 'General',
      bouncedRecipients: (options.destination ?? [RECIPIENT]).map(emailAddress => ({
        emailAddress,
        action: 'failed',
        status: '5.1.1',
        diagnosticCode: 'smtp; 550 5.1.1 user unknown',
      })),
      timestamp: TIMESTAMP,
      reportingMTA: 'dsn; mta.example.com',
    },
    mail: mail(options),
  }),

  complaint: (options: MailOptions & { readonly type?: string } = {}) => ({
    eventType: 'Complaint',
    complaint: {
      feedbackId: '010001957f1a2b3c-44c6ac11-9236-11e6-8f96-7be8aexample-000000',
      complaintSubType: null,
      complainedRecipients: (options.destination ?? [RECIPIENT]).map(emailAddress => ({ emailAddress })),
      timestamp: TIMESTAMP,
      userAgent: 'Receiver FBL',
      complaintFeedbackType: options.type ?? 'abuse',
      arrivalDate: TIMESTAMP,
    },
    mail: mail(options),
  }),

  delay: (options: MailOptions & { readonly timestamp?: string } = {}) => ({
    eventType: 'DeliveryDelay',
    mail: mail(options),
    deliveryDelay: {
      timestamp: options.timestamp ?? TIMESTAMP,
      delayType: 'MailboxFull',
      expirationTime: '2026-01-02T17:04:05.678Z',
      delayedRecipients: (options.destination ?? [RECIPIENT]).map(emailAddress => ({
        emailAddress,
        status: '4.2.2',
        diagnosticCode: 'smtp; 452 4.2.2 mailbox full',
      })),
    },
  }),

  open: (options: MailOptions & { readonly ipAddress?: string } = {}) => ({
    eventType: 'Open',
    mail: mail(options),
    open: { timestamp: TIMESTAMP, userAgent: 'Mail/1.0', ipAddress: options.ipAddress ?? '192.0.2.7' },
  }),

  click: (options: MailOptions & { readonly link?: string } = {}) => ({
    eventType: 'Click',
    click: {
      ipAddress: '192.0.2.7',
      link: options.link ?? 'https://acme.test/offer?a=1',
      linkTags: { campaign: ['spring'] },
      timestamp: TIMESTAMP,
      userAgent: 'Browser/1.0',
    },
    mail: mail(options),
  }),

  reject: (options: MailOptions = {}) => ({
    eventType: 'Reject',
    mail: mail(options),
    reject: { reason: 'Bad content' },
  }),

  renderingFailure: (options: MailOptions = {}) => ({
    eventType: 'Rendering Failure',
    mail: mail(options),
    failure: { errorMessage: 'Attribute name is missing', templateName: 'welcome' },
  }),

  subscription: (options: MailOptions = {}) => ({
    eventType: 'Subscription',
    mail: mail(options),
    subscription: { contactList: 'news', timestamp: TIMESTAMP, source: 'UnsubscribeHeader' },
  }),
};

/** As an identity's own feedback notifications tell it: another name of the kind, no tags. */
export function asIdentityNotification(record: { eventType: string; mail: object }): object {
  const { eventType, mail: about, ...rest } = record;
  const { tags: _, ...untagged } = about as { tags?: unknown };
  return { notificationType: eventType, mail: untagged, ...rest };
}

const TOPIC = 'arn:aws:sns:us-east-1:123456789012:ses-events';

/** As a queue that is subscribed to a topic gets it, without raw message delivery. */
export function inSns(record: object, overrides: object = {}): object {
  return {
    Type: 'Notification',
    MessageId: '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324',
    TopicArn: TOPIC,
    Subject: 'Amazon SES Email Event Notification',
    Message: JSON.stringify(record),
    Timestamp: TIMESTAMP,
    SignatureVersion: '1',
    Signature: 'EXAMPLE',
    SigningCertURL: 'https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem',
    UnsubscribeURL: 'https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe',
    ...overrides,
  };
}

export function inEventBridge(record: object, overrides: object = {}): object {
  return {
    version: '0',
    id: '12345678-90ab-cdef-1234-567890abcdef',
    'detail-type': 'Email Bounced',
    source: 'aws.ses',
    account: '123456789012',
    time: '2026-01-02T03:04:06Z',
    region: 'us-east-1',
    resources: ['arn:aws:ses:us-east-1:123456789012:configuration-set/acme'],
    detail: record,
    ...overrides,
  };
}
