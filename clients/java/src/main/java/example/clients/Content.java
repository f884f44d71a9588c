package example.clients;

import com.google.type.Decimal;
import example.erx.prescriptions.types.v1.Coding;
import example.erx.prescriptions.types.v1.Dosage;
import example.erx.prescriptions.types.v1.PersonRef;
import example.erx.prescriptions.types.v1.Quantity;
import example.erx.prescriptions.types.v1.Schedule;
import example.erx.prescriptions.types.v1.Substitution;
import example.erx.prescriptions.v1.PrescriptionContent;

/** What the prescriber writes. */
final class Content {
    private Content() {}

    static PrescriptionContent of(String patient) {
        return PrescriptionContent.newBuilder()
                .setPatientId(patient)
                .setPrescriber(PersonRef.newBuilder().setId("dr-1").setNpi("1234567893"))
                .addMedication(medication())
                .setSchedule(Schedule.SCHEDULE_NONE)
                .setQuantity(tablets("30"))
                .setRefillsAllowed(1)
                .setDosage(Dosage.newBuilder().setText("one tablet twice a day"))
                .setSubstitution(Substitution.SUBSTITUTION_ALLOWED)
                .build();
    }

    static Coding medication() {
        return Coding.newBuilder()
                .setSystem("http://www.nlm.nih.gov/research/umls/rxnorm")
                .setCode("849574")
                .setDisplay("Naproxen 220 mg")
                .build();
    }

    static Quantity tablets(String amount) {
        return Quantity.newBuilder().setValue(Decimal.newBuilder().setValue(amount)).setUnitText("tablet").build();
    }
}
