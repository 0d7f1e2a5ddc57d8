{{/*
What relay and worker have in common. Called with root and component.
*/}}

{{/* The smallest number of pods that a component may run with. */}}
{{- define "opensend-smtp-relay.minReplicas" -}}
{{- $values := get .root.Values .component -}}
{{- eq $values.autoscaling.kind "none" | ternary $values.replicas $values.autoscaling.minReplicas | int }}
{{- end }}

{{- define "opensend-smtp-relay.deployment" -}}
{{- $values := get .root.Values .component -}}
{{- $name := include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" .component) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- $annotations := mergeOverwrite (dict) (deepCopy $values.annotations) (dict "opensend.dev/scaled-by" $values.autoscaling.kind) }}
  {{- include "opensend-smtp-relay.metadata" (dict "root" .root "component" .component "name" $name "labels" $values.labels "annotations" $annotations) | nindent 2 }}
spec:
  {{- with include "opensend-smtp-relay.replicas" (dict "root" .root "component" .component "name" $name) }}
  replicas: {{ . }}
  {{- end }}
  revisionHistoryLimit: {{ int $values.revisionHistoryLimit }}
  minReadySeconds: {{ int $values.minReadySeconds }}
  progressDeadlineSeconds: {{ int $values.progressDeadlineSeconds }}
  strategy:
    {{- /* Beside Recreate, Kubernetes takes nothing of how to roll, which the defaults have. */}}
    {{- eq (default "" $values.updateStrategy.type) "Recreate" | ternary (dict "type" "Recreate") $values.updateStrategy | toYaml | nindent 4 }}
  selector:
    matchLabels:
      {{- include "opensend-smtp-relay.selectorLabels" . | nindent 6 }}
  template:
    {{- include "opensend-smtp-relay.podTemplate" . | nindent 4 }}
{{- end }}

{{- define "opensend-smtp-relay.podTemplate" -}}
{{- $values := get .root.Values .component -}}
{{- $config := include "opensend-smtp-relay.config" .root | fromJson -}}
metadata:
  labels:
    {{- include "opensend-smtp-relay.podLabels" (dict "root" .root "component" .component "labels" (mergeOverwrite (dict "opensend.dev/scrape" "true") (deepCopy $values.podLabels))) | nindent 4 }}
  annotations:
    {{- $checksum := dict "checksum/restart" (include "opensend-smtp-relay.restartChecksum" (dict "root" .root "config" $config)) }}
    {{- $scraped := .root.Values.metrics.annotations | ternary (dict "prometheus.io/scrape" "true" "prometheus.io/path" "/metrics" "prometheus.io/port" ($config.httpPort | int | toString)) dict }}
    {{- mergeOverwrite (dict) (deepCopy .root.Values.commonAnnotations) $checksum $scraped (deepCopy $values.podAnnotations) | toYaml | nindent 4 }}
spec:
  {{- include "opensend-smtp-relay.imagePullSecrets" .root | indent 2 }}
  serviceAccountName: {{ include "opensend-smtp-relay.serviceAccountName" . }}
  automountServiceAccountToken: false
  {{- /* A Service named smtp-relay would set SMTP_RELAY_PORT. */}}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "opensend-smtp-relay.gracePeriod" . }}
  securityContext:
    {{- include "opensend-smtp-relay.securityContext" (dict "root" .root "context" $values.podSecurityContext) | nindent 4 }}
  {{- if not (kindIs "invalid" $values.hostUsers) }}
  hostUsers: {{ $values.hostUsers }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $values.schedulerName }}
  schedulerName: {{ . }}
  {{- end }}
  {{- with $values.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with $values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "opensend-smtp-relay.topologySpread" . | indent 2 }}
  {{- $migrates := eq (include "opensend-smtp-relay.migrationsMode" .root) "initContainer" }}
  {{- if or $migrates $values.extraInitContainers }}
  initContainers:
    {{- if $migrates }}
    - name: migrate
      {{- include "opensend-smtp-relay.container" (dict "root" .root "component" .component "args" (list "migrate")) | nindent 6 }}
      resources:
        {{- toYaml .root.Values.migrations.resources | nindent 8 }}
    {{- end }}
    {{- with $values.extraInitContainers }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      {{- include "opensend-smtp-relay.container" (dict "root" .root "component" .component "args" (list .component)) | nindent 6 }}
      ports:
        {{- if eq .component "relay" }}
        - name: smtp
          containerPort: {{ int $config.port }}
          protocol: TCP
        {{- with ($config.tls).implicitPort }}
        - name: smtps
          containerPort: {{ int . }}
          protocol: TCP
        {{- end }}
        {{- with ($config.tls).legacyPort }}
        - name: legacy
          containerPort: {{ int . }}
          protocol: TCP
        {{- end }}
        {{- else if $config.publicPort }}
        - name: public
          containerPort: {{ int $config.publicPort }}
          protocol: TCP
        {{- end }}
        {{- if and (eq .component "worker") (include "opensend-smtp-relay.servesInbox" .root) }}
        - name: inbox
          containerPort: {{ default 8025 $config.inbox.port | int }}
          protocol: TCP
        {{- end }}
        - name: http
          containerPort: {{ int $config.httpPort }}
          protocol: TCP
      {{- /* Waits, for a second less than Kubernetes does, until the pod is ready: the readiness probe then begins with a yes. */}}
      {{- $startup := printf "/livez?wait=%d" (max 0 (sub (int (default 1 $values.startupProbe.timeoutSeconds)) 1)) }}
      {{- range $probe, $path := dict "startupProbe" $startup "livenessProbe" "/livez" "readinessProbe" "/readyz" }}
      {{- $settings := get $values $probe }}
      {{- if $settings.enabled }}
      {{ $probe }}:
        httpGet:
          path: {{ $path }}
          port: http
        {{- toYaml (omit $settings "enabled") | nindent 8 }}
      {{- end }}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      {{- with $values.resizePolicy }}
      resizePolicy:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- with $values.extraContainers }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "opensend-smtp-relay.volumes" . | nindent 4 }}
{{- end }}

{{/* Image, arguments, environment and mounts of a container that runs the program. Called with root, component, args, hook. */}}
{{- define "opensend-smtp-relay.container" -}}
{{- $values := eq .component "migrate" | ternary .root.Values.migrations (get .root.Values .component) -}}
image: {{ include "opensend-smtp-relay.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ toJson .args }}
securityContext:
  {{- include "opensend-smtp-relay.securityContext" (dict "root" .root "context" $values.securityContext) | nindent 2 }}
env:
  {{- include "opensend-smtp-relay.env" . | nindent 2 }}
{{- with $values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  {{- include "opensend-smtp-relay.volumeMounts" . | nindent 2 }}
{{- end }}

{{- define "opensend-smtp-relay.env" -}}
{{- $values := eq .component "migrate" | ternary .root.Values.migrations (get .root.Values .component) -}}
- name: SMTP_RELAY_CONFIG
  value: /etc/smtp-relay
- name: SMTP_RELAY_SECRETS_DIR
  value: /etc/smtp-relay-secrets
{{- include "opensend-smtp-relay.secretEnv" . }}
{{- if ne .component "migrate" }}
{{- include "opensend-smtp-relay.tracingEnv" .root }}
{{- end }}
{{- with concat .root.Values.extraEnv $values.extraEnv }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end }}

{{- define "opensend-smtp-relay.volumeMounts" -}}
{{- $values := eq .component "migrate" | ternary .root.Values.migrations (get .root.Values .component) -}}
{{- include "opensend-smtp-relay.ownMounts" . }}
{{- with concat .root.Values.extraVolumeMounts $values.extraVolumeMounts }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end }}

{{/* Without those that the values add. */}}
{{- define "opensend-smtp-relay.ownMounts" -}}
- name: config
  mountPath: /etc/smtp-relay
  readOnly: true
- name: secrets
  mountPath: /etc/smtp-relay-secrets
  readOnly: true
{{- if and (eq .component "relay") (include "opensend-smtp-relay.tlsSecretName" .root) }}
- name: tls
  mountPath: /etc/smtp-relay-tls
  readOnly: true
{{- end }}
{{- if ne .component "migrate" }}
{{- include "opensend-smtp-relay.declaredMounts" .root }}
{{- end }}
{{- if eq .component "worker" }}
- name: captured
  mountPath: /var/lib/smtp-relay/captured
{{- end }}
- name: tmp
  mountPath: /tmp
{{- end }}

{{- /* 288 is 0440: octal numbers are read in two ways by readers of YAML. */ -}}
{{- define "opensend-smtp-relay.volumes" -}}
{{- $values := eq .component "migrate" | ternary .root.Values.migrations (get .root.Values .component) -}}
- name: config
  configMap:
    name: {{ if .hook }}{{ include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" "migrate") }}{{ else }}{{ include "opensend-smtp-relay.fullname" .root }}{{ end }}
- name: secrets
  projected:
    defaultMode: 288
    sources: {{ include "opensend-smtp-relay.secretSources" . | fromYamlArray | toYaml | nindent 6 }}
{{- if and (eq .component "relay") (include "opensend-smtp-relay.tlsSecretName" .root) }}
- name: tls
  secret:
    secretName: {{ include "opensend-smtp-relay.tlsSecretName" .root }}
    defaultMode: 288
{{- end }}
{{- if ne .component "migrate" }}
{{- include "opensend-smtp-relay.declaredVolumes" .root }}
{{- end }}
{{- if eq .component "worker" }}
- name: captured
  {{- toYaml .root.Values.capture.volume | nindent 2 }}
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: {{ .root.Values.tmp.sizeLimit }}
{{- with concat .root.Values.extraVolumes $values.extraVolumes }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end }}

{{/* Over zones and over nodes, unless the values say otherwise. */}}
{{- define "opensend-smtp-relay.topologySpread" -}}
{{- $values := get .root.Values .component -}}
{{- if kindIs "slice" $values.topologySpreadConstraints -}}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- else }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "opensend-smtp-relay.selectorLabels" $ | nindent 8 }}
    matchLabelKeys:
      - pod-template-hash
  {{- end }}
{{- end }}
{{- end }}

{{- define "opensend-smtp-relay.serviceAccount" -}}
{{- $account := (eq .component "migrate" | ternary .root.Values.migrations (get .root.Values .component)).serviceAccount -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- $annotations := mergeOverwrite (dict) (deepCopy $account.annotations) (default dict .annotations) }}
  {{- include "opensend-smtp-relay.metadata" (dict "root" .root "component" .component "name" (include "opensend-smtp-relay.serviceAccountName" .) "labels" $account.labels "annotations" $annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- include "opensend-smtp-relay.imagePullSecrets" .root }}
{{- end }}

{{- define "opensend-smtp-relay.podDisruptionBudget" -}}
{{- $budget := (get .root.Values .component).podDisruptionBudget -}}
{{- /* With one pod it would keep a node from ever being drained. */ -}}
{{- if and $budget.enabled (gt (include "opensend-smtp-relay.minReplicas" . | int) 1) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "opensend-smtp-relay.metadata" (dict "root" .root "component" .component "name" (include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" .component)) "labels" $budget.labels "annotations" $budget.annotations) | nindent 2 }}
spec:
  {{- if not (kindIs "invalid" $budget.minAvailable) }}
  minAvailable: {{ $budget.minAvailable }}
  {{- else }}
  maxUnavailable: {{ $budget.maxUnavailable }}
  {{- end }}
  unhealthyPodEvictionPolicy: {{ $budget.unhealthyPodEvictionPolicy }}
  selector:
    matchLabels:
      {{- include "opensend-smtp-relay.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}
