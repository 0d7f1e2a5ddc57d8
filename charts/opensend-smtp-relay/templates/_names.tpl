{{/*
Names and labels.
*/}}

{{- define "opensend-smtp-relay.name" -}}
{{- include "opensend-smtp-relay.cut" (dict "name" (default .Chart.Name .Values.nameOverride) "length" 63) }}
{{- end }}

{{/* Of the Service that clients reach; the beginning of all other names. */}}
{{- define "opensend-smtp-relay.fullname" -}}
{{- include "opensend-smtp-relay.cut" (dict "name" (include "opensend-smtp-relay.wholeName" .) "length" 63) }}
{{- end }}

{{- define "opensend-smtp-relay.wholeName" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride }}
{{- else if contains $name .Release.Name -}}{{ .Release.Name }}
{{- else -}}{{ printf "%s-%s" .Release.Name $name }}
{{- end }}
{{- end }}

{{/* The name of an object, with what it is for behind it. Called with root and suffix. */}}
{{- define "opensend-smtp-relay.nameOf" -}}
{{- $room := sub 62 (len .suffix) | int -}}
{{- printf "%s-%s" (include "opensend-smtp-relay.cut" (dict "name" (include "opensend-smtp-relay.wholeName" .root) "length" $room)) .suffix }}
{{- end }}

{{/*
A name of so many characters at most: Services, labels and Jobs take 63. What is cut ends with a hash of the whole, so that two long
names with the same beginning stay two. Called with name and length.
*/}}
{{- define "opensend-smtp-relay.cut" -}}
{{- if le (len .name) .length -}}{{ trimSuffix "-" .name }}
{{- else -}}{{ printf "%s-%s" (trunc (sub .length 9 | int) .name | trimSuffix "-") (sha256sum .name | trunc 8) }}
{{- end }}
{{- end }}

{{/* What finds the pods of one component. Called with root and component. */}}
{{- define "opensend-smtp-relay.selectorLabels" -}}
app.kubernetes.io/name: {{ include "opensend-smtp-relay.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* All labels of an object, as a group. Called with root, component, and maybe labels of its own. */}}
{{- define "opensend-smtp-relay.labels" -}}
{{- $standard := dict
      "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
      "app.kubernetes.io/version" (.root.Chart.AppVersion | toString)
      "app.kubernetes.io/managed-by" .root.Release.Service
      "app.kubernetes.io/part-of" "opensend" -}}
{{- $selector := include "opensend-smtp-relay.selectorLabels" . | fromYaml -}}
{{- mergeOverwrite (dict) (deepCopy (default dict .root.Values.commonLabels)) (deepCopy (default dict .labels)) $standard $selector | toYaml }}
{{- end }}

{{/* Labels of pods: none that another version of the chart would change, since that would replace the pods. */}}
{{- define "opensend-smtp-relay.podLabels" -}}
{{- $selector := include "opensend-smtp-relay.selectorLabels" . | fromYaml -}}
{{- mergeOverwrite (dict) (deepCopy (default dict .root.Values.commonLabels)) (dict "app.kubernetes.io/part-of" "opensend") (deepCopy (default dict .labels)) $selector | toYaml }}
{{- end }}

{{/*
The metadata of an object: name, namespace, labels and annotations. Called with root, name, component, and maybe labels,
annotations and a namespace of its own.
*/}}
{{- define "opensend-smtp-relay.metadata" -}}
name: {{ .name }}
namespace: {{ default .root.Release.Namespace .namespace }}
labels:
  {{- include "opensend-smtp-relay.labels" . | nindent 2 }}
{{- $annotations := mergeOverwrite (dict) (deepCopy (default dict .root.Values.commonAnnotations)) (deepCopy (default dict .annotations)) }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The name of a component's ServiceAccount. Called with root and component (relay, worker or migrate). */}}
{{- define "opensend-smtp-relay.serviceAccountName" -}}
{{- $account := (eq .component "migrate" | ternary .root.Values.migrations (get .root.Values .component)).serviceAccount -}}
{{- if $account.name -}}
{{- $account.name }}
{{- else if $account.create -}}
{{- include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" .component) }}
{{- else -}}
default
{{- end }}
{{- end }}

{{/* registry/repository:tag@digest. Called with root, and the image's values; `suffix` goes behind a tag that is not set. */}}
{{- define "opensend-smtp-relay.imageOf" -}}
{{- $registry := default .image.registry (default dict .root.Values.global).imageRegistry -}}
{{- $tag := default (printf "%s%s" .root.Chart.AppVersion (default "" .suffix)) .image.tag -}}
{{- with $registry }}{{ . }}/{{ end }}{{ .image.repository }}:{{ $tag }}{{ with .image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "opensend-smtp-relay.image" -}}
{{- include "opensend-smtp-relay.imageOf" (dict "root" . "image" .Values.image) }}
{{- end }}

{{/* The secrets that the image is pulled with, from here and from `global`; each as a name or as {name}. */}}
{{- define "opensend-smtp-relay.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat (default list (default dict .Values.global).imagePullSecrets) .Values.imagePullSecrets -}}
{{- $names = append $names (kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name")) -}}
{{- end -}}
{{- with uniq $names }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The image with a Postgres in it: that of the relay with -demo behind its tag, unless the values say otherwise. */}}
{{- define "opensend-smtp-relay.demoImage" -}}
{{- $own := .Values.demo.postgres.image -}}
{{- $tag := default (printf "%s-demo" (default .Chart.AppVersion .Values.image.tag)) $own.tag -}}
{{- $image := dict "registry" (default .Values.image.registry $own.registry) "repository" (default .Values.image.repository $own.repository) "tag" $tag "digest" $own.digest -}}
{{- include "opensend-smtp-relay.imageOf" (dict "root" . "image" $image) }}
{{- end }}
