package example.clients;

import com.google.protobuf.ByteString;
import example.erx.prescriptions.types.v1.ReasonCode;
import example.erx.prescriptions.v1.PrescriptionChanged;
import example.erx.prescriptions.v1.PrescriptionFilter;
import example.erx.prescriptions.v1.PrescriptionWatchServiceGrpc.PrescriptionWatchServiceBlockingStub;
import example.erx.prescriptions.v1.ResumePrescriptionRequest;
import example.erx.prescriptions.v1.SuspendPrescriptionRequest;
import example.erx.prescriptions.v1.WatchPrescriptionsRequest;
import example.erx.prescriptions.v1.WatchPrescriptionsResponse;
import io.grpc.Context;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Predicate;

/** Follows the patient's prescriptions, hears of one change, is cut off, and goes on where it was. */
final class Watching {
    private final Connection connection;
    private final PrescriptionFilter filter;
    private final String id;
    private ByteString token = ByteString.EMPTY;

    Watching(Connection connection, String patient, String id) {
        this.connection = connection;
        this.filter = PrescriptionFilter.newBuilder().setPatientId(patient).build();
        this.id = id;
    }

    void run() {
        follow(this::takeUntilChanged);
        // Nobody watches while this happens; the token remembers where to go on.
        resume();
        follow(this::takeNextChange);
    }

    private boolean takeUntilChanged(WatchPrescriptionsResponse told) {
        switch (told.getToldCase()) {
            case ROW -> Scenario.say("watched row", told.getRow());
            case ROWS_COMPLETE -> {
                System.out.println("watched rows_complete");
                suspend();
            }
            case CHANGED -> say(told.getChanged());
            default -> { }
        }
        return told.hasChanged();
    }

    private boolean takeNextChange(WatchPrescriptionsResponse told) {
        if (told.hasHeartbeat()) {
            return false;
        }
        if (!told.hasChanged()) {
            throw new IllegalStateException("a resumed watch told this again: " + told);
        }
        say(told.getChanged());
        return true;
    }

    /** Reads the watch until {@code take} has had enough; where the call breaks off it is made again with the last token. */
    private void follow(Predicate<WatchPrescriptionsResponse> take) {
        var watches = connection.watches();
        for (long pause = 50; ; pause = Math.min(2 * pause, 1000)) {
            var request = WatchPrescriptionsRequest.newBuilder().setFilter(filter).setResumeToken(token).build();
            // Leaving the block cancels the call.
            try (var cut = Context.current().withCancellation()) {
                var stream = opened(cut, watches, request);
                while (stream.hasNext()) {
                    var told = stream.next();
                    token = told.getResumeToken();
                    if (take.test(told)) {
                        return;
                    }
                }
                throw new IllegalStateException("the watch came to an end");
            } catch (StatusRuntimeException error) {
                switch (error.getStatus().getCode()) {
                    case UNAVAILABLE, RESOURCE_EXHAUSTED, CANCELLED ->
                            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(pause));
                    default -> throw error;
                }
            }
        }
    }

    private static Iterator<WatchPrescriptionsResponse> opened(
            Context cut, PrescriptionWatchServiceBlockingStub watches, WatchPrescriptionsRequest request) {
        var before = cut.attach();
        try {
            return watches.watchPrescriptions(request);
        } finally {
            cut.detach(before);
        }
    }

    private void suspend() {
        var request = SuspendPrescriptionRequest.newBuilder()
                .setRequestId(Scenario.newId())
                .setPrescriptionId(id)
                .setReason(ReasonCode.newBuilder().setText("laboratory values awaited"))
                .build();
        var reply = connection.commands(Actor.PRESCRIBER).suspendPrescription(request);
        Scenario.say("suspended", reply.getPrescription());
    }

    private void resume() {
        var request = ResumePrescriptionRequest.newBuilder().setRequestId(Scenario.newId()).setPrescriptionId(id).build();
        var reply = connection.commands(Actor.PRESCRIBER).resumePrescription(request);
        Scenario.say("resumed", reply.getPrescription());
    }

    private static void say(PrescriptionChanged changed) {
        Scenario.say("watched changed", changed.getPrescription(), "event=" + changed.getEventType());
    }
}
