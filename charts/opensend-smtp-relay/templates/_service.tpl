{{/*
Services for SMTP. What a cloud's load balancer needs so that the relay sees the client's address.
*/}}

{{/* Annotations of a preset, as a group. Called with root and service (values of a Service). */}}
{{- define "opensend-smtp-relay.presetAnnotations" -}}
{{- $proxy := .root.Values.service.proxyProtocol.enabled -}}
{{- $config := include "opensend-smtp-relay.config" .root | fromJson -}}
{{- if eq .service.preset "aws-nlb" }}
service.beta.kubernetes.io/aws-load-balancer-type: external
service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip
service.beta.kubernetes.io/aws-load-balancer-scheme: {{ .service.internal | ternary "internal" "internet-facing" }}
{{- if $proxy }}
service.beta.kubernetes.io/aws-load-balancer-proxy-protocol: "*"
service.beta.kubernetes.io/aws-load-balancer-target-group-attributes: proxy_protocol_v2.enabled=true,preserve_client_ip.enabled=false
{{- /* Health checks carry the PROXY header too, which HTTP on another port does not understand; the SMTP listener does. */}}
service.beta.kubernetes.io/aws-load-balancer-healthcheck-protocol: tcp
service.beta.kubernetes.io/aws-load-balancer-healthcheck-port: traffic-port
{{- else }}
service.beta.kubernetes.io/aws-load-balancer-target-group-attributes: preserve_client_ip.enabled=true
service.beta.kubernetes.io/aws-load-balancer-healthcheck-protocol: http
service.beta.kubernetes.io/aws-load-balancer-healthcheck-port: {{ $config.httpPort | int | toString | quote }}
service.beta.kubernetes.io/aws-load-balancer-healthcheck-path: /readyz
{{- end }}
service.beta.kubernetes.io/aws-load-balancer-healthcheck-interval: "10"
service.beta.kubernetes.io/aws-load-balancer-healthcheck-healthy-threshold: "2"
service.beta.kubernetes.io/aws-load-balancer-healthcheck-unhealthy-threshold: "2"
{{- else if eq .service.preset "gke" }}
{{- if .service.internal }}
networking.gke.io/load-balancer-type: Internal
{{- else }}
cloud.google.com/l4-rbs: enabled
{{- end }}
{{- else if eq .service.preset "azure" }}
{{- if .service.internal }}
service.beta.kubernetes.io/azure-load-balancer-internal: "true"
{{- end }}
{{- /* Minutes. The relay closes idle sessions before (limits.idleTimeout). */}}
service.beta.kubernetes.io/azure-load-balancer-tcp-idle-timeout: "10"
{{- else if eq .service.preset "metallb" }}
{{- with .service.metallb.addressPool }}
metallb.io/address-pool: {{ . }}
{{- end }}
{{- with .service.metallb.addresses }}
metallb.io/loadBalancerIPs: {{ join "," . }}
{{- end }}
{{- with .service.metallb.sharingKey }}
metallb.io/allow-shared-ip: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* ClusterIP in the demo, which runs in clusters without load balancers; LoadBalancer otherwise. */}}
{{- define "opensend-smtp-relay.serviceType" -}}
{{- default (.Values.demo.enabled | ternary "ClusterIP" "LoadBalancer") .Values.service.type }}
{{- end }}

{{/* The port that clients are told of: one with STARTTLS where there is one. */}}
{{- define "opensend-smtp-relay.clientPort" -}}
{{- $found := dict -}}
{{- range $name, $port := .Values.service.ports -}}
{{- if and $port.enabled (or (not $found.port) (and (eq $port.target "smtp") (ne $found.target "smtp"))) }}{{ $_ := set $found "port" $port.port }}{{ $_ := set $found "target" $port.target }}{{ end -}}
{{- end -}}
{{- $found.port }}
{{- end }}

{{/* A Service that leads to the relay. Called with root, name, type, and service (its values). */}}
{{- define "opensend-smtp-relay.smtpService" -}}
{{- $values := .service -}}
{{- $annotations := mergeOverwrite (dict) (eq .type "LoadBalancer" | ternary (include "opensend-smtp-relay.presetAnnotations" . | fromYaml) dict) (deepCopy $values.annotations) -}}
{{- $outside := has .type (list "LoadBalancer" "NodePort") -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "opensend-smtp-relay.metadata" (dict "root" .root "component" "relay" "name" .name "labels" $values.labels "annotations" $annotations) | nindent 2 }}
spec:
  type: {{ .type }}
  {{- with $values.clusterIP }}
  clusterIP: {{ . }}
  {{- end }}
  {{- with $values.ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  {{- with $values.ipFamilies }}
  ipFamilies:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.externalIPs }}
  externalIPs:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.internalTrafficPolicy }}
  internalTrafficPolicy: {{ . }}
  {{- end }}
  {{- with $values.trafficDistribution }}
  trafficDistribution: {{ . }}
  {{- end }}
  {{- with $values.sessionAffinity }}
  sessionAffinity: {{ . }}
  {{- end }}
  {{- with $values.sessionAffinityConfig }}
  sessionAffinityConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $outside }}
  externalTrafficPolicy: {{ $values.externalTrafficPolicy }}
  {{- end }}
  {{- if eq .type "LoadBalancer" }}
  {{- with $values.loadBalancerClass }}
  loadBalancerClass: {{ . }}
  {{- end }}
  {{- with $values.loadBalancerIP }}
  loadBalancerIP: {{ . }}
  {{- end }}
  {{- with $values.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not (kindIs "invalid" $values.allocateLoadBalancerNodePorts) }}
  allocateLoadBalancerNodePorts: {{ $values.allocateLoadBalancerNodePorts }}
  {{- end }}
  {{- if and $values.healthCheckNodePort (eq $values.externalTrafficPolicy "Local") }}
  healthCheckNodePort: {{ int $values.healthCheckNodePort }}
  {{- end }}
  {{- end }}
  selector:
    {{- include "opensend-smtp-relay.selectorLabels" (dict "root" .root "component" "relay") | nindent 4 }}
  ports:
    {{- range $name, $port := $values.ports }}
    {{- if $port.enabled }}
    - name: {{ $name }}
      port: {{ int $port.port }}
      targetPort: {{ $port.target }}
      protocol: TCP
      {{- with $port.appProtocol }}
      appProtocol: {{ . }}
      {{- end }}
      {{- if and $outside $port.nodePort }}
      nodePort: {{ int $port.nodePort }}
      {{- end }}
    {{- end }}
    {{- end }}
{{- end }}
