{{/*
Declared resources: documents of the values, split over ConfigMaps, beside those that others bring. Each is a folder below
/etc/smtp-relay-resources, so that one of them that is emptied by mistake loses nothing.
*/}}

{{/*
Over how many ConfigMaps the documents are split: a power of two, so that a document that is added moves no other one, but where
the number doubles. 100,000 bytes each on average, since `kubectl apply` keeps a copy in an annotation, which has 262,144 at most.
*/}}
{{- define "opensend-smtp-relay.declaredParts" -}}
{{- $size := 0 -}}
{{- range .Values.declared.documents -}}{{- $size = add $size (len (toJson .)) -}}{{- end -}}
{{- $parts := 1 -}}
{{- range until 16 -}}{{- if lt (mul $parts 100000 | int) (int $size) -}}{{- $parts = mul $parts 2 -}}{{- end -}}{{- end -}}
{{- $parts }}
{{- end }}

{{/* A document in full. Called with key (its name in the values) and document. */}}
{{- define "opensend-smtp-relay.declaredDocument" -}}
{{- $metadata := mergeOverwrite (dict "name" .key) (deepCopy (default dict .document.metadata)) -}}
{{- mergeOverwrite (dict "apiVersion" "relay.opensend.dev/v1alpha1") (deepCopy .document) (dict "metadata" $metadata) | toYaml }}
{{- end }}

{{- define "opensend-smtp-relay.declaredFileName" -}}
{{- printf "%s-declared-file-%s" (include "opensend-smtp-relay.fullname" .root) (.file | sha256sum | trunc 10) }}
{{- end }}

{{/* The volumes, as a list. */}}
{{- define "opensend-smtp-relay.declaredVolumes" -}}
{{- $declared := .Values.declared -}}
{{- if $declared.enabled }}
- name: declared
  projected:
    sources:
      {{- range until (include "opensend-smtp-relay.declaredParts" . | int) }}
      - configMap:
          name: {{ include "opensend-smtp-relay.fullname" $ }}-declared-{{ . }}
      {{- end }}
{{- if $declared.files }}
- name: declared-files
  projected:
    sources:
      {{- range $file, $text := $declared.files }}
      - configMap:
          name: {{ include "opensend-smtp-relay.declaredFileName" (dict "root" $ "file" $file) }}
      {{- end }}
{{- end }}
{{- range $index, $own := $declared.existingConfigMaps }}
- name: declared-by-others-{{ $index }}
  projected:
    sources:
      - configMap:
          name: {{ $own.name }}
          {{- if $own.optional }}
          optional: true
          {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where containers have them, as a list. */}}
{{- define "opensend-smtp-relay.declaredMounts" -}}
{{- $declared := .Values.declared -}}
{{- if $declared.enabled }}
- name: declared
  mountPath: /etc/smtp-relay-resources/declared
  readOnly: true
{{- if $declared.files }}
- name: declared-files
  mountPath: /etc/smtp-relay-resources/files
  readOnly: true
{{- end }}
{{- range $index, $own := $declared.existingConfigMaps }}
- name: declared-by-others-{{ $index }}
  mountPath: /etc/smtp-relay-resources/{{ default $own.name $own.folder }}
  readOnly: true
{{- end }}
{{- end }}
{{- end }}
