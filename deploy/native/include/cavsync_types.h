/* The types of cavsync.h, which includes this file: statuses, options, frames, records, events, summaries. */
#ifndef CAVSYNC_TYPES_H
#define CAVSYNC_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cavsync_status {
  CAVSYNC_OK = 0,
  CAVSYNC_ERROR_ARGUMENT = 1,    /* a mistake of the program: a null pointer, a wrong structure size, a pixel or sample
                                    format that does not exist, a wrong order of calls, as a push after a flush */
  CAVSYNC_ERROR_CONFIG = 2,      /* an option that cannot be used, by itself, with this bundle or with this library */
  CAVSYNC_ERROR_BUNDLE = 3,      /* missing, changed or inconsistent bundle, or a model that fails */
  CAVSYNC_ERROR_MEDIA = 4,       /* frames, audio or timestamps that cannot be used; a stream too short for a summary */
  CAVSYNC_ERROR_UNSUPPORTED = 5, /* what only the Python package computes; not returned at present */
  CAVSYNC_ERROR_FULL = 6,        /* more was pushed than may wait: call cavsync_scorer_process */
  CAVSYNC_ERROR_MEMORY = 7,
  CAVSYNC_ERROR_INTERNAL = 8 /* a defect of this library */
} cavsync_status;

typedef enum cavsync_state {
  CAVSYNC_UNDETERMINED = 0,
  CAVSYNC_IN_SYNC = 1,
  CAVSYNC_AUDIO_EARLY = 2,
  CAVSYNC_AUDIO_LATE = 3
} cavsync_state;

typedef enum cavsync_path { CAVSYNC_PATH_AUTO = 0, CAVSYNC_PATH_WHOLE = 1, CAVSYNC_PATH_FACE = 2 } cavsync_path;

/* Planes of YUV formats come in the order Y, U, V. Where colour has half as many columns or rows, it has half of them
 * rounded up. */
typedef enum cavsync_pixel_format {
  CAVSYNC_RGB24 = 0,   /* plane 0: R G B, 8 bits each */
  CAVSYNC_BGR24 = 1,   /* plane 0: B G R */
  CAVSYNC_RGBA = 2,    /* plane 0: R G B A; A is ignored */
  CAVSYNC_BGRA = 3,    /* plane 0: B G R A; A is ignored */
  CAVSYNC_YUV420P = 4, /* three planes; colour has half the columns and half the rows */
  CAVSYNC_NV12 = 5,    /* two planes: Y, and U V U V with half the columns and half the rows */
  CAVSYNC_YUV422P = 6, /* three planes; colour has half the columns */
  CAVSYNC_YUYV422 = 7, /* plane 0: Y U Y V */
  CAVSYNC_GRAY8 = 8    /* plane 0 */
} cavsync_pixel_format;

/* What YUV numbers mean; the default is what most players assume where nothing is stated. */
typedef enum cavsync_yuv_matrix {
  CAVSYNC_YUV_DEFAULT = 0,
  CAVSYNC_YUV_BT601 = 1,
  CAVSYNC_YUV_BT709 = 2,
  CAVSYNC_YUV_BT2020 = 3
} cavsync_yuv_matrix;

/* Samples in the machine's byte order. */
typedef enum cavsync_sample_format {
  CAVSYNC_F32 = 0, /* full scale is from -1 to 1; what reaches beyond 100 is refused as unscaled */
  CAVSYNC_S16 = 1
} cavsync_sample_format;

typedef struct cavsync_bundle cavsync_bundle;
typedef struct cavsync_scorer cavsync_scorer;

/* How a bundle is opened. An engine or provider that cannot be used on this machine or in this build gives
 * CAVSYNC_ERROR_CONFIG; no other takes its place. ONNX Runtime runs the audio front end with any engine, and the face
 * path on the CPU. */
typedef struct cavsync_bundle_options {
  size_t size;
  const char* provider; /* execution provider of ONNX Runtime: "cpu", "cuda" or "tensorrt"; NULL: "cpu" */
  int32_t threads;      /* threads inside one operator, at most 1024; 0 lets the runtime choose */
  const char* engine;   /* engine that runs the encoders, as in `cavsync score --engine`: "onnxruntime", "openvino",
                           "tensorrt", "tensorrt_rtx", one of them with a precision that the bundle has
                           ("openvino:int8"), or "auto": the bundle's TensorRT engines if they open here, else its
                           OpenVINO engines, as far as this build has them, else ONNX Runtime; NULL: "onnxruntime".
                           OpenVINO runs the ONNX graphs of a bundle without OpenVINO engines */
  int32_t device;       /* number of the GPU of the providers "cuda" and "tensorrt", and of TensorRT engines */
} cavsync_bundle_options;

/* How a stream is scored. A number of 0 means the bundle's, or the default named here. Fill it with
 * `cavsync_options_init`, not with zeroes: limits of "custom" that are not given are NaN. */
typedef struct cavsync_options {
  size_t size;
  cavsync_path path;   /* WHOLE judges the whole picture, FACE the faces in it, AUTO both;
                          AUTO means WHOLE for a bundle without a face path */
  const char* profile; /* NULL: "itu-bt1359-detect"; others as in `cavsync score --profile` */
  double early_ms;     /* limits of the profile "custom"; NaN otherwise */
  double late_ms;
  double window_seconds;   /* length of the window of a decision */
  double max_offset_ms;    /* half the search range */
  double frame_rate_hz;    /* frames used per second, at most */
  double hop_ms;           /* step between lags, a multiple of 10 ms */
  double max_lead_seconds; /* how long a frame waits for its audio; 0: 30 s, right for files; live: range + 5 s */
  double group_seconds;    /* length of the groups of frames that are embedded together; 0: 0.64 s */
  int32_t keeps_summary;   /* not 0: collect what cavsync_scorer_summarise needs; memory then grows by 50 bytes a
                              frame and face, and 6 bytes per lag, face and decision step */
  size_t begin_after;      /* consecutive decisions out of sync on one side that begin an event; 0: 2 */
  size_t end_after;        /* consecutive decisions of another state that end it; 0: 3. Undetermined ones count for
                              neither. Both need `follows_events`, and are refused without it */
  int32_t follows_events;  /* not 0: keep the beginnings and ends of events for cavsync_scorer_take_events, in 40 bytes
                              each until they are taken */
  int32_t adaptive;        /* not 0: begin with a coarse search, then track the peak, and widen where confidence drops;
                              the whole picture only: of no effect with path FACE, as in Python */
} cavsync_options;

/* One frame of 1 to 16384 pixels a side, shown from the timestamp on. Rows of plane i begin `strides[i]` bytes apart,
 * at least as many as a row has, never a negative number; the top row comes first. */
typedef struct cavsync_frame {
  size_t size;
  cavsync_pixel_format format;
  int32_t width;
  int32_t height;
  const uint8_t* planes[4];
  int32_t strides[4];
  cavsync_yuv_matrix yuv_matrix;
  int32_t is_full_range; /* not 0: YUV from 0 to 255 */
} cavsync_frame;

/* One decision about the `window_seconds` that end at `time_seconds`; NaN where a number is unknown. */
typedef struct cavsync_record {
  double time_seconds;
  double window_seconds;
  double audio_offset_ms;
  double offset_resolution_ms;
  double suggested_audio_delay_ms;
  double similarity;
  double confidence;
  cavsync_state state;
  int32_t within_profile; /* 1, 0, or -1 where the state is undetermined */
  cavsync_path path;   /* the path that decided: FACE or WHOLE */
  int32_t is_measured; /* 1: the offset is trusted, even where it lies too close to a limit for a state */
  char profile[32];
  char reason[320]; /* why the state is undetermined; empty otherwise */
} cavsync_record;

/* A face of a window or of a whole stream, and how well it is seen: medians over the moments in which it was there. */
typedef struct cavsync_face {
  int32_t track; /* number of the face in the stream, from 0 on; -1 where no face is judged: the rest is then 0 */
  int32_t frame_width; /* the frame in whose pixels the box is */
  int32_t frame_height;
  double left, top, right, bottom; /* the box; it may reach beyond the frame */
  double presence;        /* the mesh's own probability that it is a face */
  double frontality;      /* 1 seen from the front, 0 in profile; below 0.25 the face cannot be judged */
  double eye_distance_px; /* between the outer corners of the eyes; below 16 the face cannot be judged */
  double opening_range;   /* how far the lips open and close, in eye distances; they hardly move below 0.04 */
  double steadiness;      /* correlation of each change of the opening with the next; below 0 is jitter; NaN: unknown */
  double share;           /* share of the window with the face in it */
} cavsync_face;

/* What ended an event. CAVSYNC_CAUSE_UNDETERMINED is given by `cavsync_scorer_summarise` alone, CAVSYNC_CAUSE_NONE by
 * `cavsync_scorer_take_events` alone. */
typedef enum cavsync_cause {
  CAVSYNC_CAUSE_DECISIONS = 0,    /* decisions of another state */
  CAVSYNC_CAUSE_UNDETERMINED = 1, /* undetermined ones, after which the fault may go on */
  CAVSYNC_CAUSE_STREAM_ENDED = 2,
  CAVSYNC_CAUSE_NONE = 3 /* the event is still open */
} cavsync_cause;

/* A period during which the audio was out of sync; `extreme_ms` is its largest offset, signed. There are two kinds.
 * Events of `cavsync_scorer_summarise` describe a whole stream: they begin and end halfway between the middles of two
 * windows, or with the stream. A single window makes one, and undetermined windows end one unless they last no longer
 * than a window and the same state follows. Events of `cavsync_scorer_take_events` are alarms of a running stream:
 * their times are ends of windows, they begin and end by `begin_after` and `end_after`, and undetermined decisions never end
 * one. */
typedef struct cavsync_event {
  double start_seconds;
  double end_seconds;
  double extreme_ms;
  cavsync_state state;
  cavsync_cause cause;
} cavsync_event;

typedef enum cavsync_phase { CAVSYNC_EVENT_BEGAN = 0, CAVSYNC_EVENT_ENDED = 1 } cavsync_phase;

/* The beginning or the end of an event of a stream that runs. The event begins at the time of the first decision out of
 * sync and ends at that of the first decision of another state, or of the last decision of the stream; it lasts while
 * decisions are undetermined. Until the end, `event.end_seconds` is NaN and `event.cause` CAVSYNC_CAUSE_NONE. */
typedef struct cavsync_event_change {
  cavsync_event event;
  cavsync_phase phase;
} cavsync_event_change;

/* The verdict on everything that was pushed before the flush. */
typedef struct cavsync_summary {
  size_t size;
  cavsync_record score;
  double early_limit_ms; /* of the profile; NaN where it depends on an unknown frame period */
  double late_limit_ms;
  double duration_seconds;
  double drift_ms_per_minute; /* NaN where there is too little */
  double worst_offset_ms;     /* NaN where no offset is trusted */
  double undetermined_share;
  size_t num_windows;
  size_t num_ignored_frames; /* frames whose timestamp did not advance, or was out of line */
  size_t num_events;
  int32_t is_varying; /* 1: the offset is not constant, so no single delay repairs it */
  double face_share;  /* share of the windows judged by a face */
  int32_t num_faces;  /* largest number of faces in one frame */
  cavsync_face face;  /* the speaking face at each time; `track` is the one that speaks most */
} cavsync_summary;

/* Identification of an opened bundle; the hashes are the first 12 digits of the encoders' SHA-256. */
typedef struct cavsync_bundle_info {
  size_t size;
  char name[208];
  char precision[16];
  char audio_encoder[16];
  char visual_encoder[16];
  int32_t has_faces;
  double window_seconds;
  double decision_step_seconds;
  double max_offset_ms;
  char face_audio_encoder[16]; /* of the face path, as above; empty without one */
  char face_visual_encoder[16];
  char engine[32];   /* engine that runs the encoders, as in "openvino:int8" */
  char provider[16]; /* of ONNX Runtime, as in "cpu"; empty if another engine runs the encoders */
} cavsync_bundle_info;

#ifdef __cplusplus
}
#endif

#endif
