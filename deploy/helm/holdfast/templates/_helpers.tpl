{{- /* Names, labels and the parts that all pods have. */ -}}
{{- define "holdfast.name" -}}
{{- if contains "holdfast" .Release.Name }}{{ .Release.Name | trunc 45 | trimSuffix "-" }}{{ else }}{{ printf "%s-holdfast" .Release.Name | trunc 45 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- /* What pods are chosen by: never changed. Given: root, component. */ -}}
{{- define "holdfast.selector" -}}
app.kubernetes.io/name: holdfast
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "holdfast.labels" -}}
{{ include "holdfast.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "holdfast.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ printf "%s@%s" .repository .digest }}{{ else }}{{ printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) }}{{ end -}}
{{- end -}}
{{- end }}

{{- /* Of a pod, but for its containers and volumes. */ -}}
{{- define "holdfast.pod" -}}
automountServiceAccountToken: false
{{- with .Values.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext: { runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: { type: RuntimeDefault } }
{{- end }}

{{- /* Of every container. */ -}}
{{- define "holdfast.container" -}}
image: {{ include "holdfast.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: ['node_modules/.bin/holdfast']
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "holdfast.env" -}}
- { name: HOLDFAST_SCHEMA, value: {{ .Values.schema | quote }} }
{{- with .Values.environment }}
- { name: HOLDFAST_ENVIRONMENT, value: {{ . | quote }} }
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /*
A deployment. Given: root, component, values (those of the component), args, secret, port, ready (path of the readiness probe),
env (further variables), replicas (null: something else says it).
*/ -}}
{{- define "holdfast.deployment" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "holdfast.name" $root }}-{{ .component }}
  labels: {{ include "holdfast.labels" . | nindent 4 }}
spec:
  {{- if not (kindIs "invalid" .replicas) }}
  replicas: {{ .replicas }}
  {{- end }}
  selector:
    matchLabels: {{ include "holdfast.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{ include "holdfast.labels" . | nindent 8 }}
      {{- if or $values.config $values.podAnnotations }}
      annotations:
        {{- if $values.config }}
        checksum/config: {{ $values.config | sha256sum }}
        {{- end }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    spec:
      {{- include "holdfast.pod" $root | nindent 6 }}
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{ include "holdfast.selector" . | nindent 14 }}
      containers:
        - name: {{ .component }}
          {{- include "holdfast.container" $root | nindent 10 }}
          args: {{ .args | toJson }}
          envFrom:
            - secretRef: { name: {{ .secret }} }
          env:
            {{- include "holdfast.env" $root | nindent 12 }}
            {{- with .env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - { name: http, containerPort: {{ .port }} }
          livenessProbe:
            httpGet: { path: /livez, port: http }
            {{- toYaml $values.livenessProbe | nindent 12 }}
          readinessProbe:
            httpGet: { path: {{ .ready }}, port: http }
            {{- toYaml $values.readinessProbe | nindent 12 }}
          resources: {{ toYaml .values.resources | nindent 12 }}
          volumeMounts:
            - { name: tmp, mountPath: /tmp }
            {{- if $values.config }}
            - { name: config, mountPath: /app/holdfast.config.ts, subPath: holdfast.config.ts, readOnly: true }
            {{- end }}
      volumes:
        - { name: tmp, emptyDir: {} }
        {{- if $values.config }}
        - { name: config, configMap: { name: {{ include "holdfast.name" $root }} } }
        {{- end }}
{{- end }}
