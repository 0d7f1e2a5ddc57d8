{{/*
HorizontalPodAutoscaler or ScaledObject: `kind` picks one, so there are never both. Called with root and component.
*/}}

{{/*
Pods leave one by one, each given the time that it may take to stop, so that clients move over gently.
*/}}
{{- define "opensend-smtp-relay.scalingBehavior" -}}
{{- $own := (get .root.Values .component).autoscaling.behavior -}}
{{- $period := max 60 (include "opensend-smtp-relay.gracePeriod" . | int) -}}
{{- $default := dict
      "scaleUp" (dict "stabilizationWindowSeconds" 0 "policies" (list (dict "type" "Percent" "value" 100 "periodSeconds" 30) (dict "type" "Pods" "value" 2 "periodSeconds" 30)) "selectPolicy" "Max")
      "scaleDown" (dict "stabilizationWindowSeconds" 300 "policies" (list (dict "type" "Pods" "value" 1 "periodSeconds" (min 1800 $period)))) -}}
{{- mergeOverwrite $default (deepCopy $own) | toYaml }}
{{- end }}

{{- define "opensend-smtp-relay.hpa" -}}
{{- $values := (get .root.Values .component).autoscaling -}}
{{- $name := include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" .component) -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "opensend-smtp-relay.metadata" (dict "root" .root "component" .component "name" $name "labels" $values.labels "annotations" $values.annotations) | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $name }}
  minReplicas: {{ int $values.minReplicas }}
  maxReplicas: {{ int $values.maxReplicas }}
  metrics:
    {{- with $values.hpa.cpuUtilization }}
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ int . }}
    {{- end }}
    {{- if eq .component "relay" }}
    {{- with $values.hpa.sessions }}
    {{- if .perPod }}
    - type: Pods
      pods:
        metric:
          name: {{ .metric }}
        target:
          type: AverageValue
          averageValue: {{ .perPod | toString | quote }}
    {{- end }}
    {{- end }}
    {{- end }}
    {{- with $values.hpa.metrics }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  behavior:
    {{- include "opensend-smtp-relay.scalingBehavior" . | nindent 4 }}
{{- end }}

{{- define "opensend-smtp-relay.scaledObject" -}}
{{- $values := (get .root.Values .component).autoscaling -}}
{{- $config := include "opensend-smtp-relay.config" .root | fromJson -}}
{{- $name := include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" .component) -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "opensend-smtp-relay.metadata" (dict "root" .root "component" .component "name" $name "labels" $values.labels "annotations" $values.annotations) | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $name }}
  {{- /* Above 0, Kubernetes' autoscaler asks by itself, and KEDA warns that these have no meaning. */}}
  {{- if eq (int $values.minReplicas) 0 }}
  pollingInterval: {{ int $values.keda.pollingInterval }}
  cooldownPeriod: {{ int $values.keda.cooldownPeriod }}
  {{- end }}
  minReplicaCount: {{ int $values.minReplicas }}
  maxReplicaCount: {{ int $values.maxReplicas }}
  {{- with $values.keda.fallback }}
  fallback:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        {{- include "opensend-smtp-relay.scalingBehavior" . | nindent 8 }}
  triggers:
    {{- if eq .component "worker" }}
    {{- if $config.queueUrl }}
    - type: aws-sqs-queue
      name: jobs
      metadata:
        queueURL: {{ $config.queueUrl | quote }}
        queueLength: {{ $values.keda.sqs.messagesPerPod | toString | quote }}
        activationQueueLength: {{ $values.keda.sqs.activation | toString | quote }}
        awsRegion: {{ default "us-east-1" $config.awsRegion | quote }}
        {{- with coalesce $values.keda.sqs.endpoint $config.sqsEndpoint }}
        awsEndpoint: {{ . | quote }}
        {{- end }}
        {{- /* What is being sent keeps its worker; what is delayed needs none yet. */}}
        scaleOnInFlight: "true"
        scaleOnDelayed: "false"
      authenticationRef:
        name: {{ include "opensend-smtp-relay.nameOf" (dict "root" $.root "suffix" (printf "%s-sqs" $.component)) }}
    {{- end }}
    {{- if $values.keda.postgres.enabled }}
    {{- $database := include "opensend-smtp-relay.kedaDatabase" .root | fromJson }}
    - type: postgresql
      name: database
      metadata:
        {{- with omit $database "connection" "password" }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        query: {{ include "opensend-smtp-relay.backlogQuery" $config | quote }}
        targetQueryValue: {{ $values.keda.postgres.entriesPerPod | toString | quote }}
        activationTargetQueryValue: {{ $values.keda.postgres.activation | toString | quote }}
      {{- if or $database.connection $database.password }}
      authenticationRef:
        name: {{ include "opensend-smtp-relay.nameOf" (dict "root" $.root "suffix" (printf "%s-postgres" $.component)) }}
      {{- end }}
    {{- end }}
    {{- else }}
    {{- with $values.hpa.cpuUtilization }}
    - type: cpu
      metricType: Utilization
      metadata:
        value: {{ . | toString | quote }}
    {{- end }}
    {{- with $values.keda.prometheus }}
    {{- if .serverAddress }}
    - type: prometheus
      name: sessions
      metadata:
        serverAddress: {{ .serverAddress | quote }}
        query: sum(smtp_relay_sessions{namespace="{{ $.root.Release.Namespace }}",pod=~"{{ $name }}-.*"})
        threshold: {{ .sessionsPerPod | toString | quote }}
    {{- end }}
    {{- end }}
    {{- end }}
    {{- with $values.keda.triggers }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
    {{- end }}
{{- end }}

{{/*
What is there for workers to do. The queue holds only what workers take in a moment: the rest of a backlog is in the outbox, with a
queue too. A worker that has enough of an owner's jobs puts the others back there, to come again in some seconds: they are as much of a
backlog as what is due. Claims that ran out and due webhooks show in the database only.
*/}}
{{- define "opensend-smtp-relay.backlogQuery" -}}
select (select count(*) from (select from smtp_relay_outbox where due_at <= now() + interval '1 minute' limit 100000) as jobs) + (select count(*) from smtp_relay_claims where until < now() and state <> 'held') + (select count(*) from (select from webhook_deliveries where status in ('pending', 'failed') and next_retry_at <= now() limit 100000) as deliveries)
{{- end }}

{{- define "opensend-smtp-relay.triggerAuthentications" -}}
{{- $values := (get .root.Values .component).autoscaling.keda -}}
{{- $config := include "opensend-smtp-relay.config" .root | fromJson -}}
{{- $name := include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" .component) -}}
{{- if $config.queueUrl }}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata:
  {{- include "opensend-smtp-relay.metadata" (dict "root" .root "component" .component "name" (include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" (printf "%s-sqs" .component)))) | nindent 2 }}
spec:
  {{- $key := include "opensend-smtp-relay.secretRef" (dict "root" .root "secret" "awsAccessKeyId") | fromJson }}
  {{- $secret := include "opensend-smtp-relay.secretRef" (dict "root" .root "secret" "awsSecretAccessKey") | fromJson }}
  {{- if and $key.name $secret.name }}
  secretTargetRef:
    - parameter: awsAccessKeyID
      name: {{ $key.name }}
      key: {{ $key.key }}
    - parameter: awsSecretAccessKey
      name: {{ $secret.name }}
      key: {{ $secret.key }}
  {{- else }}
  podIdentity:
    {{- toYaml $values.sqs.podIdentity | nindent 4 }}
  {{- end }}
{{- end }}
{{- $database := include "opensend-smtp-relay.kedaDatabase" .root | fromJson }}
{{- if and $values.postgres.enabled (or $database.connection $database.password) }}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata:
  {{- include "opensend-smtp-relay.metadata" (dict "root" .root "component" .component "name" (include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" (printf "%s-postgres" .component)))) | nindent 2 }}
spec:
  secretTargetRef:
    {{- range $parameter, $ref := pick $database "connection" "password" }}
    - parameter: {{ $parameter }}
      name: {{ $ref.name }}
      key: {{ $ref.key }}
    {{- end }}
{{- end }}
{{- end }}
