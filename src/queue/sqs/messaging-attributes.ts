/** The attributes of a span about an SQS queue (OpenTelemetry, semantic conventions for messaging). */
export function sqsAttributes(queueName: string, operation: string, type: 'send' | 'receive' | 'process') {
  return {
    'messaging.system': 'aws_sqs',
    'messaging.destination.name': queueName,
    'messaging.operation.name': operation,
    'messaging.operation.type': type,
  };
}

/** The last part of a queue's URL. */
export function queueNameOf(queueUrl: string): string {
  return queueUrl.slice(queueUrl.lastIndexOf('/') + 1);
}
